"""
One reading of the configuration: the reader that is under way, and the memory it fills.

The reader has no privilege and looks at what may be hostile, so it has a time, and what it says is
taken once.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from typing import Final

from privsep import spawn
from privsep.channel import Channel, Closed
from privsep.launch import VERDICT, Rejected, Verdict
from privsep.mode import Mode, find_launch_faults
from privsep.processes import read_children, send_signal
from privsep.protocol import ProtocolViolation
from privsep.spawn import Memory

TIME: Final = 20.0
"""Seconds a reader may take."""
LIMIT: Final = 1 << 24
"""Bytes of each memory: as many as are compared of the targets of webhooks."""


class Reading:
    """A reader from its start until it has answered, or was given up."""

    def __init__(self, mode: Mode, path: str, kind: str = "file", given: bytes = b"") -> None:
        """Start it. path: "" for the default one; kind, given: as in `spawn.start_reader`."""
        self._mode = mode
        self.pid, reply, self.memory = spawn.start_reader(mode, path, kind, given)
        self._channel: Channel[Verdict] = Channel(reply, VERDICT)
        self.until = time.monotonic() + TIME
        """When it is given up, monotonic seconds."""

    def fileno(self) -> int:
        """Return the descriptor on which it answers, for poll."""
        return self._channel.fileno()

    def receive(self) -> Verdict:
        """Return what it has answered, judged; what is good stays as it is from now on."""
        try:
            verdict = self._channel.receive()[0]
        except Closed:
            verdict = Rejected(["the reader of the configuration ended without an answer"])
        except ProtocolViolation as violation:
            verdict = Rejected([f"the reader of the configuration broke the protocol: {violation}"])
        if isinstance(verdict, Rejected):
            return verdict
        faults = find_launch_faults(verdict, self._mode) or seal(self.memory)
        return Rejected(faults) if faults else verdict

    def end(self) -> None:
        """End it, if it has not ended, and close our end of what it says."""
        if self.pid in read_children():
            send_signal([self.pid], signal.SIGKILL)
        self._channel.close()

    def forget(self) -> None:
        """Give its memory back."""
        for each in self.memory:
            os.close(each)


def seal(memory: Memory) -> list[str]:
    """Have memory stay as it is; return why it can't be taken as that, nothing if it can."""
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    try:
        for each in memory:
            fcntl.fcntl(each, fcntl.F_ADD_SEALS, seals)
    except OSError as error:  # a reader that was taken over may have mapped or sealed it
        return [f"what the reader of the configuration has made can't be sealed: {error.strerror}"]
    fits = max(os.fstat(each).st_size for each in memory) <= LIMIT
    return [] if fits else [f"the reader of the configuration has made more than {LIMIT} octets"]
