"""
Every message that crosses a role boundary, its field checks, and how it is packed.

Pure: no sockets, no clock, no environment. One packet is one msgpack array whose first element is
the tag; positions are the schema, so there are no duplicate or unknown keys to argue about.
Whatever does not decode to exactly one of the types of its channel is a `ProtocolViolation`, and
the receiver ends its peer or itself. What a reader hands up is `launch`'s. netevd (the unprivileged
side) sees this module, `launch` and `variables`, and nothing else of privsep.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

VERSION: Final = 1
"""Spoken in `Hello`; both ends come from one installation, so any difference is a violation."""

PACKET_LIMIT: Final = 192 * 1024
"""Bytes in one packet at most."""

IFNAME_LIMIT: Final = 15
"""Bytes of an interface name. Source: IFNAMSIZ minus the NUL, linux/if.h."""


class ProtocolViolation(Exception):
    """A peer sent what its channel does not allow. The peer is ended; nothing is retried."""


Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Small = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Table = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9-]*\Z")]
Text = Annotated[str, Meta(max_length=4096)]
Path = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^/[^\x00\n]*\Z")]
Brief = Annotated[str, Meta(max_length=512, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z")]


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What all messages share: immutable, positional, closed."""


# --- feed: helper -> worker ------------------------------------------------------------------


LINKS: Final = 0
"""Event socket of links, addresses (their order against each other matters)."""
ROUTES: Final = 1
"""Event socket of routes: a storm of them cannot overrun the link socket."""

WIRELESS: Final = 2
"""What nl80211 tells by itself, and that it has come or gone: less than all of it, see `generic`."""

Source = Annotated[int, Meta(ge=0, le=2)]


class Datagrams(Message, frozen=True, tag=1):
    """Kernel messages as they were received, oldest first."""

    source: Source
    parts: list[bytes]


class Overrun(Message, frozen=True, tag=2):
    """The kernel dropped messages of this socket; every loss lies before this marker."""

    source: Source


class DumpPart(Message, frozen=True, tag=3):
    """One datagram of the answer to a dump request."""

    dump: Id
    data: bytes


class DumpFinished(Message, frozen=True, tag=4):
    """The dump is complete and every event queued before its end was forwarded before this."""

    dump: Id
    errno: Small
    """0, or the kernel's error number (netlink(7), NLMSG_ERROR)."""
    interrupted: bool
    """NLM_F_DUMP_INTR was set: the dump is not consistent and has to be repeated."""


class AnswerPart(Message, frozen=True, tag=5):
    """
    Part of what was asked for by `Wireguard` or `Wireless`, without what may be secret.

    Of the kernel netlink messages, of WireGuard's other devices whole lines `key=value`.
    """

    read: Id
    data: bytes


class AnswerEnd(Message, frozen=True, tag=6):
    """All that was asked for was sent, or could not be had."""

    read: Id
    errno: Small
    """0, or an error number: of the kernel's, or of the connection."""


FeedMessage: TypeAlias = Datagrams | Overrun | DumpPart | DumpFinished | AnswerPart | AnswerEnd


# --- rpc: worker <-> helper ------------------------------------------------------------------


class Hello(Message, frozen=True, tag=20):
    """First request of a worker; anything before it is a violation."""

    version: Small


class Dump(Message, frozen=True, tag=21):
    """Ask for everything the kernel knows of one kind; parts come on feed."""

    dump: Id
    kind: Annotated[str, Meta(pattern=r"^(links|addresses|rules|routes4|routes6|nothing)\Z")]
    table: Table = 0
    """The one table whose routes are wanted, 0 for all."""


class Ping(Message, frozen=True, tag=22):
    """Ask whether the helper answers."""

    number: Id


class _Reading(Message, frozen=True):
    """Something that is asked for apart from dumps; parts come on feed. Ends an earlier one."""

    read: Id
    ifindex: Small


class Wireless(_Reading, frozen=True, tag=220):
    """Ask for the wireless links that there are, or, with an ifindex, for the networks this one sees."""


class Wireguard(_Reading, frozen=True, tag=24):
    """Ask one WireGuard device for itself and its peers."""

    name: Annotated[str, Meta(min_length=1, max_length=IFNAME_LIMIT)]
    userspace: bool
    """It is no device of the kernel's: somebody listens on a socket of this name."""


Network = Annotated[str, Meta(max_length=49, pattern=r"^([0-9a-f:.]{2,45}/[0-9]{1,3})?\Z")]
"""An address and its prefix length, "" for any."""
Gateway = Annotated[str, Meta(max_length=45, pattern=r"^[0-9a-f:.]*\Z")]
Family = Literal[4, 6]
PublicKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")]


class SetEndpoint(Wireguard, frozen=True, tag=200):
    """Have a device send to a peer that it has at another address. It ends on feed like a reading."""

    public_key: PublicKey
    address: Gateway
    port: Annotated[int, Meta(ge=1, le=65535)]


class _Rule(Message, frozen=True):
    """A policy rule that looks a table up; who owns it is the policy's to say."""

    family: Family
    priority: Table
    table: Table
    source: Network = ""
    destination: Network = ""
    iif: str = ""
    oif: str = ""
    mark: Table = 0
    mask: Table = 0
    suppress: Annotated[int, Meta(ge=-1, le=128)] = -1
    """Routes of at most this prefix length are passed over: 0 for default routes, -1 for none."""
    invert: bool = False
    """It is for all but what it selects."""


class AddRule(_Rule, frozen=True, tag=140):
    """Make a rule; that it is there already is an answer and no harm."""


class DeleteRule(_Rule, frozen=True, tag=141):
    """Remove a rule of ours."""


class _Route(Message, frozen=True):
    """A route with one way, or with none where `refuses`; who owns it is the policy's to say."""

    family: Family
    table: Table
    destination: Network
    metric: Table
    ifindex: Small
    gateway: Gateway = ""
    """Of either family."""
    onlink: bool = False
    refuses: bool = False


class AddRoute(_Route, frozen=True, tag=142):
    """Make a route beside those that there are: nothing is ever replaced."""


class DeleteRoute(_Route, frozen=True, tag=143):
    """Remove a route of ours."""


Change: TypeAlias = AddRule | DeleteRule | AddRoute | DeleteRoute


class Write(Message, frozen=True, tag=144):
    """Change rules and routes, in this order; if one of the changes is denied, none is made."""

    changes: Annotated[list[Change], Meta(min_length=1, max_length=64)]


Request: TypeAlias = Hello | Dump | Ping | Wireless | Wireguard | SetEndpoint | Write


class Done(Message, frozen=True, tag=30):
    """The request was accepted."""

    errors: list[Small] = []
    """The kernel's answer to each change of a `Write`: 0, or its error number."""


class Denied(Message, frozen=True, tag=31):
    """The policy said no; expected, and not a violation."""

    reason: Text


Reply: TypeAlias = Done | Denied


# --- scripts: worker <-> runner --------------------------------------------------------------


class Run(Message, frozen=True, tag=40):
    """Start one script with these variables."""

    id: Id
    entry: Id
    values: list[tuple[str, str]]
    detach: bool = False
    """The run ends with its first process; what that left lives until the runner ends."""
    words: Annotated[list[Text], Meta(max_length=2)] = []
    """Arguments, of a script of another dispatcher's tree."""


class Signal(Message, frozen=True, tag=41):
    """Send a signal to every process of a run."""

    id: Id
    which: Annotated[str, Meta(pattern=r"^(TERM|KILL)\Z")]


class Forget(Message, frozen=True, tag=42):
    """The worker has recorded the end of this run; its pipes and status may go."""

    id: Id


class Running(Message, frozen=True, tag=43):
    """Ask for the runner's incarnation and every run that was not forgotten."""


class Rescan(Message, frozen=True, tag=44):
    """Read the script directories again and answer with `Entries`."""


ScriptsRequest: TypeAlias = Run | Signal | Forget | Running | Rescan


class Started(Message, frozen=True, tag=50):
    """The run's first process exists. Carries two descriptors: stdout and stderr read ends."""

    id: Id
    pid: Id


class Refused(Message, frozen=True, tag=51):
    """The run was not started, and why."""

    id: Id
    reason: Text


class Finished(Message, frozen=True, tag=52):
    """The run and everything it started is gone."""

    id: Id
    status: Annotated[int, Meta(ge=-64, le=255)]
    """Exit code, or minus the signal number that ended the first process."""
    duration: Annotated[float, Meta(ge=0)]
    """Seconds from spawn to the end of the first process."""
    cpu: Annotated[float, Meta(ge=0)]
    """Seconds of user and system time of the first process and what it waited for."""
    leftovers: Small
    """Processes that outlived the first one and were killed."""


class Known(Message, frozen=True, tag=53):
    """One run the runner has not forgotten. Carries its two pipes, like `Started`."""

    id: Id
    ended: Finished | None


class Incarnation(Message, frozen=True, tag=54):
    """Answer to `Running`, sent after the `Known` of each run."""

    incarnation: Annotated[str, Meta(min_length=8, max_length=64)]


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One file of a script directory."""

    id: Id
    """Never reused while the runner lives; a changed file gets a new one."""
    event: Word
    """Event type whose directory holds the file."""
    name: Text
    """File name, undecodable bytes escaped."""
    path: Text
    """Path of the file as it will be run, undecodable bytes escaped."""
    runnable: bool
    reason: Text
    """Why the file is skipped; empty for a runnable one."""
    tree: Annotated[str, Meta(max_length=64)] = ""
    """Whose convention it is called by, "" for netevd's own; else `event` is the group of its files."""


class Entries(Message, frozen=True, tag=55):
    """
    The script table, in the order in which scripts of one event run. A long table comes in
    several messages; the one with `more` unset completes it.
    """

    entries: list[Entry]
    more: bool


ScriptsReply: TypeAlias = Started | Refused | Finished | Known | Incarnation | Entries


# --- audit: everybody -> supervisor -> worker ---------------------------------------------------


class Audit(Message, frozen=True, tag=100):
    """
    Something was done or refused with privilege. Whose word it is, the supervisor adds: it knows which
    channel it came by.
    """

    what: Word
    outcome: Word
    by: Brief = ""
    """On whose behalf, as far as the sender knows."""
    detail: Brief = ""
    lost: Small = 0
    """How many records before this one could not be sent."""


class Audited(Message, frozen=True, tag=101):
    """A record of the audit log, for the journal."""

    time_ns: Id
    """Nanoseconds since 1970."""
    source: Word
    record: Audit


class AuditTrouble(Message, frozen=True, tag=102):
    """Why the audit log can't be written now; "" once it can."""

    reason: Text


# --- lead: supervisor <-> helper and runners -------------------------------------------------


class Peer(Message, frozen=True, tag=60):
    """Fresh sockets of a new worker: feed and rpc for the helper, one for a runner or courier."""


class End(Message, frozen=True, tag=61):
    """Stop in good order."""

    lingers: bool = False
    """A helper whose policy says so serves until its worker has gone."""


class Ready(Message, frozen=True, tag=62):
    """The role has its identity and sandbox and serves."""


class Violated(Message, frozen=True, tag=63):
    """The worker broke the protocol; its sockets are closed, the supervisor has to end it."""

    reason: Text


class Drain(Message, frozen=True, tag=64):
    """Not needed any more; a runner ends once no run and no process of one is left."""


class WireguardSocket(Message, frozen=True, tag=65):
    """To the helper: carries the connection that it wanted, unless there is an error number."""

    errno: Small


class WantWireguard(Message, frozen=True, tag=66):
    """The helper wants a connection to the WireGuard device of this name."""

    name: Annotated[str, Meta(min_length=1, max_length=IFNAME_LIMIT)]


class Accepted(Message, frozen=True, tag=190):
    """A runner believes the manifest of this root; one of a lower version it never will again."""

    root: Path
    version: Id


Lead: TypeAlias = Peer | End | Drain | WireguardSocket
LeadReply: TypeAlias = Ready | Violated | Audit | WantWireguard | Accepted


# --- control: supervisor <-> worker ----------------------------------------------------------


class Configure(Message, frozen=True, tag=70):
    """
    Carries the sealed configuration and the two memfds that outlive workers.
    """

    generation: Id
    dry_run: bool
    observe: bool
    """The caller can't change users: everything runs as the caller."""
    forced_buffers: bool
    """Event sockets got their full buffer (needs CAP_NET_ADMIN)."""
    runners: list[Small]
    """The key of each identity's runner, in the order of the launch data."""
    others: list[Small]
    """Keys of runners that no identity has any more, whose runs have not all ended."""
    started: Annotated[float, Meta(ge=0)]
    """When the supervisor was started, monotonic seconds."""
    lost: str = ""
    """Why kernel messages may have been lost before this worker, "" for no reason known."""
    restarts: dict[Word, Small] = {}
    """How often a role was started again since it had died; all runners are one."""
    failed: Small = 0
    """How many reloads have put nothing in force."""
    reload_ok: bool = True
    """Whether the latest reload did."""
    loaded: Annotated[float, Meta(ge=0)] = 0.0
    """When this configuration was put in force, seconds since 1970."""
    confirm_until: Annotated[float, Meta(ge=0)] = 0.0
    """Until when the configuration has to be confirmed, monotonic seconds; 0 if it has not."""
    sandbox: Word = "enforce"
    """What becomes of a system call that a role does not need: enforce, log or off."""
    landlock: Small = 0
    """The ABI of Landlock that roles are held by as far as the sandbox is enforced, 0 for none."""


class HelperPeer(Message, frozen=True, tag=71):
    """Carries two descriptors: feed and rpc of a new helper."""


class RunnerPeer(Message, frozen=True, tag=72):
    """Carries one descriptor: the scripts socket of the runner with this key."""

    runner: Small


class CourierPeer(Message, frozen=True, tag=130):
    """Carries one descriptor: the socket of a courier that posts what it is asked to."""


class Liveness(Message, frozen=True, tag=73):
    """Ask the worker, and through it the helper, for a sign of life."""

    number: Id


class Stop(Message, frozen=True, tag=74):
    """Start no more runs, handle what helper and runners still send, end."""

    kept: bool
    """The memfds outlive the daemon."""


class HandOver(Message, frozen=True, tag=75):
    """The helper sends no more: handle what it has sent, then end; another worker goes on."""


class ReloadFailed(Message, frozen=True, tag=76):
    """The configuration that was to be read again was not put in force."""

    problems: list[str]


ListenerKind = Annotated[str, Meta(pattern=r"^(local|api|metrics)\Z")]
"""local: a unix socket, whose mode says who may. api: TCP. metrics: for measurements alone."""


class Listening(Message, frozen=True, tag=110):
    """Carries one descriptor: a socket that listens, to be served from now on."""

    kind: ListenerKind


Told: TypeAlias = Audited | AuditTrouble


class Settled(Message, frozen=True, tag=125):
    """
    What became of a candidate, or of the one that waited for `Decide`.

    Carries, where a candidate is fine, the memory with what the reader has made of it.
    """

    outcome: Word
    """
    Of a candidate: fine, invalid, unwritable, changed (the file was, by hand) or busy; of the trial:
    kept, rolled-back, changed, unwritable or nothing (there is none).
    """
    problems: list[str]


BUS_PATH: Final = "/run/dbus/system_bus_socket"
"""Of the system bus. Source: D-Bus specification, "System message bus"; systemd's unit dbus.socket."""


class BusPeer(Message, frozen=True, tag=160):
    """Answer to `WantBus`: carries one descriptor, on which a `BusSocket` comes."""

    errno: Small = 0
    """Why there is none: an error number; then nothing is carried."""


class BusSocket(Message, frozen=True, tag=161):
    """Carries one descriptor: a connection to the system bus, on which nothing was said yet."""

    errno: Small = 0
    """Why there is none: an error number; then nothing is carried."""


Control: TypeAlias = (
    Configure | HelperPeer | RunnerPeer | CourierPeer | Liveness | Stop | HandOver | ReloadFailed
    | Told | Listening | Settled | BusPeer
)  # fmt: skip


class Prepared(Message, frozen=True, tag=80):
    """The worker has imported everything and is confined."""


class Serving(Message, frozen=True, tag=81):
    """The first dump is known, the script table too: events are handled from here on."""

    status: Text
    """One line for `systemctl status`."""


class Alive(Message, frozen=True, tag=82):
    """Answer to `Liveness`: the worker runs and the helper answered its ping."""

    number: Id


class Reload(Message, frozen=True, tag=83):
    """Somebody wants the configuration to be read again."""


class Refresh(Message, frozen=True, tag=170):
    """
    A directory that the worker may read was made after its sandbox: another worker would have it.

    It follows as after a reload, by the same configuration: no file is read.
    """


CANDIDATE_LIMIT: Final = 160 * 1024
"""Bytes of a configuration that is sent over the API, so that it fits into one packet."""


class Candidate(Message, frozen=True, tag=120):
    """A configuration that somebody wants in place of the file: to be checked, then written."""

    content: Annotated[bytes, Meta(max_length=CANDIDATE_LIMIT)]
    patch: bool
    """The content is a JSON merge patch of the file (RFC 7396), not what is to stand in it."""
    dry_run: bool
    """Only tell what is wrong with it."""
    confirm: Annotated[int, Meta(ge=0, le=86400)]
    """Seconds within which `Decide` has to come, or it is taken back; 0: none is needed."""


class Decide(Message, frozen=True, tag=121):
    """Whether the configuration that waits for it stays, or what was before it comes back."""

    keep: bool


class WantBus(Message, frozen=True, tag=162):
    """Ask for a connection to the system bus, as the worker's own user."""


ControlReply: TypeAlias = (
    Prepared | Serving | Alive | Reload | Refresh | Audit | Candidate | Decide | WantBus
)  # fmt: skip
Report: TypeAlias = LeadReply | ControlReply
"""What the supervisor hears; which role may say what, the supervisor checks."""


# --- packing -----------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()


def pack(message: Message) -> bytes:
    """Return the packet of a message."""
    return _encoder.encode(message)


T = TypeVar("T")


class Codec(Generic[T]):
    """Unpacks the packets of one direction of one channel."""

    def __init__(self, union: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(union)

    def unpack(self, packet: bytes | memoryview) -> T:
        """Return the typed value of one packet. Raises: ProtocolViolation."""
        if not packet or len(packet) > PACKET_LIMIT:
            raise ProtocolViolation(f"packet of {len(packet)} bytes")
        try:
            return self._decoder.decode(packet)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolViolation(str(error)) from None


FEED: Final = Codec[FeedMessage](FeedMessage)
REQUEST: Final = Codec[Request](Request)
REPLY: Final = Codec[Reply](Reply)
SCRIPTS_REQUEST: Final = Codec[ScriptsRequest](ScriptsRequest)
SCRIPTS_REPLY: Final = Codec[ScriptsReply](ScriptsReply)
LEAD: Final = Codec[Lead](Lead)
CONTROL: Final = Codec[Control](Control)
BUS: Final = Codec[BusSocket](BusSocket)
REPORT: Final = Codec[Report](Report)


# --- text ------------------------------------------------------------------------------------

UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What no name, and no text that is shown, may hold."""


def escape(text: str) -> str:
    """Return text that is safe to show and to encode: control and undecodable bytes escaped."""
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return UNPRINTABLE.sub(lambda match: f"\\x{ord(match.group()):02x}", raw)
