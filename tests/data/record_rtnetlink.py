"""
Record what the kernel says on its link and address groups while links are made and changed.

Run as root, from the top of the repository, in a network namespace of its own:

    unshare --net /usr/bin/python3 tests/data/record_rtnetlink.py > tests/data/rtnetlink.jsonl

One JSON object a line: the command, and the datagrams that it made, as hex. Among them
are one dump of links and one of addresses.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time

from recording import drain, dump

GROUPS = (1 << 0) | (1 << 4) | (1 << 8)  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
COMMANDS = """
ip link set lo up
ip link add veth0 type veth peer name veth1
ip link set veth0 up
ip link set veth1 up
ip link set veth1 down
ip link set veth1 up
ip link set veth0 mtu 1400
ip link set veth0 address 02:00:00:00:00:01
ip link set veth1 name uplink1
ip link property add dev veth0 altname a-rather-long-alternative-name
ip link property add dev veth0 altname second
ip link property del dev veth0 altname second
ip link add br0 type bridge
ip link add veth2 type veth peer name veth3
ip link set veth2 master br0
ip link set veth0 master br0
ip link set br0 up
ip link set veth2 up
ip link set veth3 up
ip link set veth3 down
ip link set veth2 nomaster
ip link set veth0 nomaster
ip link add link veth2 name mac0 type macvlan mode bridge
ip link set mac0 up
ip address add 192.0.2.1/24 dev veth0
ip address add 192.0.2.2/24 dev veth0
ip address add 198.51.100.1 peer 198.51.100.2/32 dev veth0
ip address add 198.51.100.1 peer 198.51.100.3/32 dev veth0
ip address add 203.0.113.1/24 dev veth0 valid_lft 600 preferred_lft 300 scope link
ip address change 203.0.113.1/24 dev veth0 valid_lft 900 preferred_lft 0
ip address add 2001:db8::1/64 dev veth0
ip address add 2001:db8::2/64 dev veth0 nodad
ip address add 2001:db8::3 peer 2001:db8::4/128 dev veth0 nodad
ip address change 2001:db8::3 peer 2001:db8::5/128 dev veth0 nodad
ip address add 2001:db8::6/64 dev veth0 valid_lft 600 preferred_lft 0 nodad
sleep 2.5
ip address del 192.0.2.1/24 dev veth0
ip address del 2001:db8::1/64 dev veth0
tun tun0
ip link set tun0 up
ip address add 192.0.2.9/32 dev tun0
bytes 6e616d65ff
ip link set veth0 down
ip link del mac0
ip netns-move uplink1
ip link del veth2
ip link del br0
""".strip().splitlines()


def rename(raw: bytes) -> None:
    """Rename tun0 by RTM_NEWLINK, since `ip` checks names before it sends them."""
    attribute = struct.pack("=HH", 4 + len(raw) + 1, 3) + raw + b"\0"
    attribute += bytes(-len(attribute) % 4)
    index = socket.if_nametoindex("tun0")
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + attribute
    header = struct.pack("=IHHII", 16 + len(body), 16, 1 | 4, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(header + body)
        answer = kernel.recv(65536)
    assert struct.unpack_from("=i", answer, 16)[0] == 0, "the kernel refused the name"


def perform(command: str, kept: list[int]) -> None:
    """Carry out one line of COMMANDS."""
    verb, *rest = command.split()
    if verb == "tun":
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", rest[0].encode(), 0x1001))
        kept.append(tun)
    elif verb == "bytes":
        rename(bytes.fromhex(rest[0]))
    elif verb == "sleep":
        time.sleep(float(rest[0]))
    elif command.startswith("ip netns-move "):
        other = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{other.pid}/ns/net") == own:
            time.sleep(0.01)
        subprocess.run(["ip", "link", "set", rest[1], "netns", str(other.pid)], check=True)
        other.communicate()
    else:
        subprocess.run(command.split(), check=True)


def main() -> None:
    """Write the recording to standard output."""
    if socket.if_nameindex() != [(1, "lo")]:
        sys.exit("not in a network namespace of its own, see the head of this file")
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    events.bind((0, GROUPS))
    kept: list[int] = []
    for command in COMMANDS:
        if command == "ip link set veth0 down":
            print(json.dumps({"command": "dump links", "datagrams": dump(18, bytes(16))}))
            print(json.dumps({"command": "dump addresses", "datagrams": dump(22, bytes(8))}))
        perform(command, kept)
        print(json.dumps({"command": command, "datagrams": drain(events)}))


main()
