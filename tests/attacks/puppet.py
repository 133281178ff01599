"""
A worker that was taken over: with the worker's user, filter and Landlock, it does what a test says.

The daemon starts it where it would start `netevd.worker.main` (see `rig.FAULT`), by the same code. It
hears its orders over the daemon's own socket for clients, the only way in that a worker has: a line of
JSON, the name of a deed of this module and its arguments; the answer is a line of JSON.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

from privsep import protocol
from privsep.channel import Channel, Closed

sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # the worker can't read what is there
_libc = ctypes.CDLL(None, use_errno=True)
_ANSWER_S = 10.0


def _wait(end: Channel[Any], seconds: float) -> bool:
    poll = select.poll()  # the filter has no select
    poll.register(end, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Puppet:
    """What a worker holds: control, feed, rpc, scripts, and the memories."""

    def __init__(self, state: str, control: int) -> None:
        self.state = state
        self.control = Channel(socket.socket(fileno=control), protocol.CONTROL, descriptors=8)
        self.control.sock.setblocking(False)
        self.feed: Channel[Any] | None = None
        self.rpc: Channel[Any] | None = None
        self.scripts: Channel[Any] | None = None
        self.memories: list[int] = []
        self.listener: socket.socket | None = None
        self.tcp: socket.socket | None = None
        self.buses: list[int] = []
        self.control.send(protocol.Prepared())

    def serve(self) -> None:
        """Take what the supervisor gives, then do as told, until the end."""
        while not (self.feed and self.scripts and self.listener and self.tcp):
            self.follow(_ANSWER_S)
        self.rpc.send(protocol.Hello(protocol.VERSION))
        self.hear("rpc")
        self.control.send(protocol.Serving("taken over"))
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.listener, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self.control.fileno():
                    self.follow(0)
                else:
                    with contextlib.suppress(BlockingIOError):
                        self._obey(self.listener.accept()[0])

    def follow(self, seconds: float) -> None:
        """Take one message of the supervisor's."""
        _wait(self.control, seconds)
        try:
            message, descriptors = self.control.receive()
        except BlockingIOError:
            return
        match message:
            case protocol.Configure():
                self.memories = descriptors
            case protocol.HelperPeer():
                self.feed = Channel(socket.socket(fileno=descriptors[0]), protocol.FEED)
                self.rpc = Channel(socket.socket(fileno=descriptors[1]), protocol.REPLY)
            case protocol.RunnerPeer():
                end = socket.socket(fileno=descriptors[0])
                self.scripts = Channel(end, protocol.SCRIPTS_REPLY, descriptors=2)
            case protocol.Listening(kind="local"):
                self.listener = socket.socket(fileno=descriptors[0])
                self.listener.setblocking(False)
            case protocol.Listening(kind="api"):
                self.tcp = socket.socket(fileno=descriptors[0])
            case protocol.BusPeer():
                self.buses += descriptors
            case protocol.HandOver() | protocol.Stop():
                sys.exit(0)
            case _:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _obey(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        with connection, connection.makefile("rw") as lines:
            for line in lines:
                name, arguments = json.loads(line)
                try:
                    told = {"value": getattr(self, name)(*arguments)}
                except OSError as error:
                    told = {"errno": error.errno, "words": str(error)}
                except Closed:
                    told = {"errno": 104, "words": "closed"}
                lines.write(json.dumps(told) + "\n")
                lines.flush()

    # --- deeds on channels ----------------------------------------------------------------------

    def pid(self) -> int:
        """Return who does this."""
        return os.getpid()

    def send(self, channel: str, packet: str, descriptors: int = 0) -> None:
        """Send a packet (hexadecimal), with so many descriptors."""
        sock = getattr(self, channel).sock
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * descriptors))
        sock.sendmsg([bytes.fromhex(packet)], [rights] if descriptors else [])

    def flood(self, channel: str, packets: list[str], count: int, descriptors: int = 0) -> int:
        """Send these in turn so often, as long as they are taken at once; return how many were."""
        for number in range(count):
            try:
                self.send(channel, packets[number % len(packets)], descriptors)
            except BlockingIOError:
                return number
        return count

    def hear(self, channel: str, seconds: float = _ANSWER_S) -> str:
        """Return the next message of a channel, as Python shows it; "" for none."""
        end = getattr(self, channel)
        if not _wait(end, seconds):
            return ""
        message, descriptors = end.receive()
        for descriptor in descriptors:
            os.close(descriptor)
        return repr(message)

    def ask(self, channel: str, packet: str) -> str:
        """Send a packet and return the answer."""
        self.send(channel, packet)
        return self.hear(channel)

    def count(self, channel: str, word: str, number: int) -> int:
        """Read answers until so many have this word in them; return how many others there were."""
        found = others = 0
        while found < number:
            message = self.hear(channel)
            if not message:
                raise OSError(62, f"{found} answers with {word}, expected {number}")
            hit = word in message
            found, others = found + hit, others + (not hit)
        return others

    def drain(self) -> list[str]:
        """Return what the supervisor has said since."""
        told: list[str] = []
        while message := self.hear("control", 0):
            told.append(message)
        return told

    def renew(self) -> None:
        """Wait for the sockets of another helper."""
        old = self.feed
        while self.feed is old:
            self.follow(_ANSWER_S)

    def shut(self, channel: str, how: int) -> None:
        """Shut an end down, 0 to 2 as in shutdown(2); 3 closes it."""
        if how == 3:
            getattr(self, channel).sock.close()
        else:
            getattr(self, channel).sock.shutdown(how)

    def pose(self, channel: str, packet: str, pid: int, uid: int) -> None:
        """Send a packet with the credentials of somebody else."""
        words = (socket.SOL_SOCKET, 2, struct.pack("=3i", pid, uid, uid))  # SCM_CREDENTIALS
        getattr(self, channel).sock.sendmsg([bytes.fromhex(packet)], [words])

    # --- deeds on memory and files ---------------------------------------------------------------

    def scribble(self, slate: int, offset: int, content: str) -> int:
        """Write into what outlives workers."""
        return os.pwrite(self.memories[1 + slate], bytes.fromhex(content), offset)

    def peek(self, slate: int, offset: int, size: int) -> str:
        """Read what outlives workers."""
        return os.pread(self.memories[1 + slate], size, offset).hex()

    def repeat(self, slate: int, offset: int, piece: str, count: int) -> None:
        """Write the same so often."""
        octets = bytes.fromhex(piece)
        at_once = max(1, (1 << 20) // len(octets))
        while count > 0:
            written = octets * min(at_once, count)
            os.pwrite(self.memories[1 + slate], written, offset)
            offset += len(written)
            count -= at_once

    def fill(self, slate: int, octet: int) -> None:
        """Make a whole memory one octet."""
        size = os.fstat(self.memories[1 + slate]).st_size
        piece = bytes([octet]) * (1 << 20)
        for offset in range(0, size, len(piece)):
            os.pwrite(self.memories[1 + slate], piece, offset)

    def leave(self, name: str, content: str) -> None:
        """Write a file of the state directory."""
        with open(os.path.join(self.state, name), "wb") as file:
            file.write(bytes.fromhex(content))

    def read(self, path: str) -> str:
        """Return a file."""
        with open(path, "rb") as file:
            return file.read(4096).hex()

    def look(self, path: str) -> list[str]:
        """Return the names of a directory."""
        return os.listdir(path)

    def append(self, path: str) -> None:
        """Open a file for writing."""
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))

    def plant(self, name: str, kind: str) -> None:
        """Put something else in the place of a file of the state directory."""
        path = os.path.join(self.state, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        match kind:
            case "directory":
                os.mkdir(path)
            case _:
                os.symlink(kind, path)

    # --- system calls ----------------------------------------------------------------------------

    def call(self, number: int, *arguments: int | str | None) -> int:
        """Make a system call of this number."""
        raw = [each.encode() if isinstance(each, str) else each for each in arguments]
        result = int(_libc.syscall(number, *raw))
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    def kill(self, pid: int, which: int) -> None:
        """Signal somebody."""
        os.kill(pid, which)

    def run(self, how: str) -> None:
        """Execute a program, in one of the ways there are."""
        match how:
            case "execve":
                os.execv("/bin/true", ["true"])
            case "spawn":
                os.posix_spawn("/bin/true", ["true"], {})
            case "fork":
                os.fork()
            case "memory":
                held = os.memfd_create("x")
                with open("/bin/true", "rb") as program:
                    os.write(held, program.read())
                os.execve(held, ["true"], {})

    def open_socket(self, family: int, kind: int) -> None:
        """Make a socket."""
        socket.socket(family, kind).close()

    def wreck(self, how: str, family: str) -> None:
        """Try to make a listening socket, which the next worker gets too, one that nobody reaches."""
        listener = self.tcp if family == "tcp" else self.listener
        assert listener is not None
        match how:
            case "shutdown":
                listener.shutdown(socket.SHUT_RDWR)
            case "filter":
                drop = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0))  # BPF_RET 0
                program = struct.pack("@HP", 1, ctypes.addressof(drop))
                listener.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
            case "device":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            case "distance":
                listener.setsockopt(socket.IPPROTO_IP, 21, 255)  # IP_MINTTL

    def reach_out(self, port: int) -> int:
        """Connect without connect(2): a listener that listens no more, and TCP Fast Open."""
        assert self.tcp is not None
        with contextlib.suppress(PermissionError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        return self.tcp.sendto(b"out", 0x20000000, ("127.0.0.1", port))  # MSG_FASTOPEN

    def post(self, path: str) -> int:
        """Send a datagram to a socket of somebody else's, from one that socketpair(2) has made."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with near, far:
            return near.sendto(b"READY=1", path)

    def type_into(self, descriptor: int, text: str) -> None:
        """Type for the user of a terminal. Source: TIOCSTI in ioctl_tty(2)."""
        for letter in text:
            fcntl.ioctl(descriptor, 0x5412, letter.encode())

    def limits(self, pid: int) -> None:
        """Take another process its descriptors. Source: prlimit(2), RLIMIT_NOFILE."""
        limit = ctypes.create_string_buffer(struct.pack("=QQ", 0, 0))
        if _libc.prlimit(pid, 7, limit, None) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def deaf(self) -> None:
        """Ignore what can be ignored."""
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(which, signal.SIG_IGN)

    def mute(self, seconds: float) -> None:
        """Do nothing at all."""
        time.sleep(seconds)

    def say(self, text: str) -> int:
        """Write to standard error."""
        return os.write(2, text.encode())

    def shout(self, count: int) -> None:
        """Have standard error block nobody, and keep it full."""
        os.set_blocking(2, False)
        for _ in range(count):
            with contextlib.suppress(BlockingIOError):
                os.write(2, b"x" * 4095 + b"\n")


def main(arguments: list[str]) -> int:
    """Be the worker, see `privsep.confined`. arguments: its state directory and its control socket."""
    try:
        Puppet(arguments[0], int(arguments[-1])).serve()
    except Closed:
        return 0
    return 0
