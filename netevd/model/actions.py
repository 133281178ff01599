"""What comes out of the core: a closed union. Whoever adds one, adds its arm in worker.perform."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

from attrs import field, frozen

from netevd.model.advice import Advice
from netevd.model.event import Event
from netevd.model.inputs import Hook
from netevd.model.routing import Change
from netevd.model.verdict import EXECUTE, Verdict
from netevd.model.webhook import Target


@frozen(slots=True)
class Publish:
    """Tell every sink (log, metrics, stream) of this event, whatever the filters say of it."""

    event: Event
    verdict: Verdict = EXECUTE


@frozen(slots=True)
class Outcome:
    """
    What became of events after their verdict was to execute, and before any script was queued.

    An event of which nothing is said had its scripts queued, at once or at the end of its window.
    """

    sequences: tuple[int, ...]
    """The events it is about, in order."""
    result: Literal["coalesced", "unchanged", "suppressed", "released"]
    """
    coalesced: another event of the same fact ran in their place. unchanged: together they changed
    nothing, so nothing runs. suppressed: held back by damping. released: after that its scripts
    were queued.
    """
    into: int
    """The event that ran for them, 0 for none."""
    reason: str


@frozen(slots=True)
class StartRun:
    """Have the runner start one script for one event."""

    run: int
    hook: Hook
    event: Event
    values: tuple[tuple[str, str], ...]
    """Variables of the script; the runner adds PATH, NETEVD_SCRIPT_PATH and its marker."""
    runner: int = 0
    """Number of the runner that has the script's identity."""
    detach: bool = False
    """The run ends with its first process."""
    words: tuple[str, ...] = ()
    """Arguments, of a script of another dispatcher's tree."""


@frozen(slots=True)
class AdoptRun:
    """A run that an earlier worker had begun is this one's now."""

    run: int
    hook: Hook
    event: Event
    runner: int


@frozen(slots=True)
class SignalRun:
    """Have the runner signal every process of a run."""

    run: int
    which: str
    """TERM or KILL."""
    runner: int = 0
    """Number of the runner that was asked for it."""


@frozen(slots=True)
class RequestHooks:
    """Have a runner read the script directories again and list them."""

    runner: int


@frozen(slots=True)
class EndRun:
    """
    A run, or one attempt of it, is over: record it.

    Sent once for each StartRun; once for each run that never got that far, since it was refused,
    dropped, obsolete or paused; and once more for a run that waits for its next attempt when netevd
    stops.
    """

    run: int
    hook: Hook
    event: Event
    result: str
    """
    ok, failed (exit code not 0 or a signal), timeout, refused, lost (the runner died), dropped (too
    many runs of the link were waiting), obsolete (a later state was waiting), paused (the script
    had failed too often in a row).
    """
    status: int | None
    """Exit code or minus signal number; None when it never started or was lost."""
    duration_s: float
    cpu_s: float
    leftovers: int
    reason: str = ""
    """Why it was refused, lost, dropped, obsolete or paused, "" otherwise."""
    runner: int = 0
    """Number of the runner that it belongs to."""
    attempt: int = 1
    """Counts from 1; 2 is the first retry."""
    final: bool = True
    """False: it failed and is tried again, under the same number."""


@frozen(slots=True)
class Deliver:
    """Have the courier post an event to a webhook, once."""

    number: int
    """Of the webhook among those of the configuration, counted from 0."""
    target: Target
    event: Event
    attempt: int
    """Counts from 1."""
    body: str
    """What is posted: one line of JSON."""


@frozen(slots=True)
class EndDelivery:
    """
    A delivery, or one attempt of it, is over: record it.

    Sent once for each `Deliver` that was answered, and once for each delivery that ended otherwise.
    """

    target: Target
    event: Event
    result: Literal["ok", "failed", "refused", "lost", "dropped"]
    """
    ok: the webhook has taken it. failed: it has not. refused: its address is none that may be
    posted to. lost: the courier died, or the webhook is not in the configuration any more. dropped:
    too many were waiting.
    """
    status: int
    """Of the answer, as in RFC 9110; 0 for none."""
    reason: str
    """Why it was not taken, "" for ok."""
    duration_s: float
    attempt: int
    """Counts from 1."""
    final: bool = True
    """False: it is tried again."""


@frozen(slots=True)
class RequestDump:
    """Ask the helper for a fresh dump of all links, then all addresses, then all rules."""

    dump: int


@frozen(slots=True)
class RequestRoutes:
    """Ask the helper for a fresh dump of routes, once the kernel has ended what it is changing."""

    dump: int
    families: tuple[int, ...]
    """4, 6 or both."""


@frozen(slots=True)
class ReadWireguard:
    """Ask the helper for what a WireGuard device says of itself and its peers."""

    number: int
    ifindex: int
    name: str
    userspace: bool
    """It is no device of the kernel's."""


@frozen(slots=True)
class ResolveEndpoint:
    """Have the courier look up the name of a peer's endpoint; `EndpointResolved` tells what it found."""

    number: int
    """Place of the peer among those that are followed, see config.schema.Wireguard."""


@frozen(slots=True)
class SetEndpoint:
    """Have the helper make a WireGuard device send to a peer elsewhere; it ends as a reading does."""

    number: int
    ifindex: int
    name: str
    userspace: bool
    public_key: str
    address: str
    port: int


@frozen(slots=True)
class ChangeRouting:
    """Have the helper change rules and routes, in this order; `ChangesMade` tells what came of it."""

    number: int
    changes: tuple[Change, ...]


@frozen(slots=True)
class GiveAdvice:
    """Tell a service of the host what a lease says, or that it says it no more."""

    number: int
    advice: Advice
    withdraw: bool
    """Take back what was told of this subject."""


class Kind(StrEnum):
    """What a log record is about, for those who look for one kind among all; see MESSAGE_ID."""

    EVENT = "event"
    OUTPUT = "script-output"
    SCRIPT_ENDED = "script-ended"
    SCRIPT_LATE = "script-late"
    """It did not start, or end, in time."""
    SCRIPT_NOT_RUN = "script-not-run"
    SCRIPT_SKIPPED = "script-skipped"
    """A file of a script directory that is none."""
    SCRIPT_PAUSED = "script-paused"
    SCRIPT_RESUMED = "script-resumed"
    CONDITION_FAILED = "condition-failed"
    """A filter's condition could not be answered."""
    EVENTS_SUPPRESSED = "events-suppressed"
    EVENTS_REUSED = "events-reused"
    MESSAGES_LOST = "messages-lost"
    RESYNCHRONIZED = "resynchronized"
    SERVING = "serving"
    WEBHOOK_ENDED = "webhook-ended"
    """An event was posted, or not."""
    BACKEND = "backend"
    """A backend is there, or is not."""
    ROUTING = "routing"
    """Policy routing: what was done, or stands in its way."""


@frozen(slots=True)
class Note:
    """One log line."""

    level: str
    """trace, debug, info, warn or error."""
    message: str
    fields: dict[str, str | int | float | bool] = field(factory=dict)
    kind: Kind | None = None
    """None for one that nobody looks for by its kind."""


@frozen(slots=True)
class Ready:
    """The first dump is known and announced."""


Action: TypeAlias = (
    Publish
    | Outcome
    | StartRun
    | AdoptRun
    | SignalRun
    | RequestHooks
    | EndRun
    | Deliver
    | EndDelivery
    | RequestDump
    | RequestRoutes
    | ReadWireguard
    | ResolveEndpoint
    | SetEndpoint
    | ChangeRouting
    | GiveAdvice
    | Note
    | Ready
)
