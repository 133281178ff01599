"""
Record what the kernel says of routes, rules, neighbours and namespaces while these are changed.

Run as root, from the top of the repository, in a network namespace of its own:

    unshare --net --mount /usr/bin/python3 tests/data/record_routes.py > tests/data/routes.jsonl

One JSON object a line: the command, and the datagrams that it made, as hex. Among them are dumps
of routes of both families and of rules.
"""

import json
import socket
import subprocess
import sys

from recording import drain, dump

GROUPS = (3, 7, 8, 11, 19, 28, 32)
"""RTNLGRP_NEIGH, IPV4_ROUTE, IPV4_RULE, IPV6_ROUTE, IPV6_RULE, NSID, NEXTHOP: linux/rtnetlink.h."""

DUMPS = {
    "dump routes4": (26, bytes((2, *bytes(11)))),
    "dump routes6": (26, bytes((10, *bytes(11)))),
    "dump rules": (34, bytes(12)),
}

COMMANDS = """
ip link set lo up
ip link add veth0 type veth peer name veth1
ip link add veth2 type veth peer name veth3
ip link set veth0 up
ip link set veth1 up
ip link set veth2 up
ip link set veth3 up
ip address add 192.0.2.1/24 dev veth0
ip address add 198.51.100.1/24 dev veth2
ip address add 2001:db8::1/64 dev veth0 nodad
ip address add 2001:db8:1::1/64 dev veth2 nodad
ip route add 203.0.113.0/24 via 192.0.2.2
ip route add 203.0.113.0/24 via 192.0.2.3 metric 10 proto dhcp src 192.0.2.1
ip route append 203.0.113.0/24 via 192.0.2.4
ip route prepend 203.0.113.0/24 via 192.0.2.5
ip route replace 203.0.113.0/24 via 192.0.2.6
ip route change 203.0.113.0/24 via 192.0.2.7
ip route add 203.0.113.128/25 nexthop via 192.0.2.2 weight 3 nexthop via 198.51.100.2 weight 200
ip route replace 203.0.113.128/25 nexthop via 192.0.2.2 nexthop via inet6 fe80::2 dev veth2
ip route add default via 192.0.2.254 mtu 1400 advmss 1360 initcwnd 10 rto_min 50ms quickack 1
ip route add default via inet6 fe80::1 dev veth0 metric 50 congctl reno
ip route add default via 192.0.2.99 dev veth0 onlink metric 70
ip route add 203.0.113.7 dev veth0 scope link tos 0x10
ip route add blackhole 203.0.113.64/26
ip route add unreachable 203.0.113.32/27 table 4711
ip route add prohibit 203.0.113.16/28 table 200
ip route add throw 203.0.113.8/29
ip route add local 203.0.113.9 dev lo
ip route add 203.0.113.10 dev veth0 protocol 99 realm 7
ip nexthop add id 7 via 192.0.2.8 dev veth0
ip nexthop add id 8 via 198.51.100.8 dev veth2
ip nexthop add id 9 group 7/8
ip route add 203.0.113.11 nhid 7
ip route add 203.0.113.12 nhid 9
ip nexthop replace id 7 via 192.0.2.9 dev veth0
ip nexthop del id 7
ip -6 nexthop add id 17 via 2001:db8::8 dev veth0
ip -6 route add 2001:db8:9::/48 nhid 17
ip -6 route add 2001:db8:2::/48 via 2001:db8::2
ip -6 route append 2001:db8:2::/48 via 2001:db8:1::2
ip -6 route append 2001:db8:2::/48 via 2001:db8::3
ip -6 route del 2001:db8:2::/48 via 2001:db8::2
ip -6 route replace 2001:db8:2::/48 via fe80::9 dev veth0
ip -6 route add 2001:db8:3::/48 nexthop via 2001:db8::2 weight 3 nexthop via 2001:db8:1::2
ip -6 route del 2001:db8:3::/48
ip -6 route add default via fe80::1 dev veth0 metric 512 pref high expires 600
ip -6 route add default from 2001:db8:7::/48 via fe80::2 dev veth0
ip -6 route add blackhole 2001:db8:4::/48
ip -6 route add unreachable 2001:db8:5::/48 table 300
ip -6 route add 2001:db8:6::/48 dev veth0 src 2001:db8::1 mtu lock 1280 hoplimit 9
ip rule add from 192.0.2.0/24 lookup 100 priority 1000
ip rule add not to 203.0.113.0/24 iif veth0 oif veth2 lookup 4711 priority 1001
ip rule add fwmark 0x10/0xff lookup main suppress_prefixlength 0 priority 1002 protocol static
ip rule add uidrange 1000-1999 ipproto tcp sport 80 dport 1024-2048 blackhole priority 1003
ip rule add tos 0x10 goto 32766 priority 1004
ip rule add lookup main suppress_ifgroup 7 priority 1005
ip -6 rule add from 2001:db8::/64 unreachable priority 1000
ip -6 rule add iif lo prohibit priority 1001
ip rule add l3mdev priority 1006
ip rule add nop priority 1007
ip rule del priority 1000
ip -6 rule del priority 1000
ip neighbour add 192.0.2.50 lladdr 02:00:00:00:00:50 dev veth0 nud permanent
ip neighbour replace 192.0.2.50 lladdr 02:00:00:00:00:51 dev veth0 nud reachable
ip neighbour add 2001:db8::50 lladdr 02:00:00:00:00:52 dev veth0 router
ip neighbour add proxy 192.0.2.60 dev veth0
ip neighbour del 192.0.2.50 dev veth0
mount -t tmpfs none /run/netns
ip netns add other
ip netns set other 42
ip link set veth3 netns other
dump routes4
dump routes6
dump rules
ip link set veth0 down
ip netns del other
ip link del veth0
""".strip().splitlines()


def main() -> None:
    """Write the recording to standard output."""
    if socket.if_nameindex() != [(1, "lo")]:
        sys.exit("not in a network namespace of its own, see the head of this file")
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    events.bind((0, 0))  # first: it takes back the groups that were joined
    for group in GROUPS:
        events.setsockopt(270, 1, group)
    for command in COMMANDS:
        if command in DUMPS:
            print(json.dumps({"command": command, "datagrams": dump(*DUMPS[command])}))
            continue
        subprocess.run(command.split(), check=True)
        print(json.dumps({"command": command, "datagrams": drain(events)}))


main()
