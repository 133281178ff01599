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
from privsep.mode import Mode
from privsep.processes import read_children, send_signal
from privsep.protocol import ProtocolViolation

TIME: Final = 20.0
"""Seconds a reader may take."""


class Reading:
    """A reader from its start until it has answered, or was given up."""

    def __init__(self, mode: Mode, path: str, kind: str = "file", given: bytes = b"") -> None:
        """Start it. path: "" for the default one; kind, given: as in `spawn.start_reader`."""
        self.pid, reply, self.memory = spawn.start_reader(mode, path, kind, given)
        self._channel: Channel[Verdict] = Channel(reply, VERDICT)
        self.until = time.monotonic() + TIME
        """When it is given up, monotonic seconds."""

    def fileno(self) -> int:
        """Return the descriptor on which it answers, for poll."""
        return self._channel.fileno()

    def receive(self) -> Verdict:
        """Return what it has answered."""
        try:
            return self._channel.receive()[0]
        except (Closed, ProtocolViolation) as error:
            return Rejected([f"the reader of the configuration failed: {error!r}"])

    def end(self) -> None:
        """End it, if it has not ended, and close our end of what it says."""
        if self.pid in read_children():
            send_signal([self.pid], signal.SIGKILL)
        self._channel.close()

    def seal(self) -> None:
        """Have what it has said stay as it is."""
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        for each in self.memory:
            fcntl.fcntl(each, fcntl.F_ADD_SEALS, seals)

    def forget(self) -> None:
        """Give its memory back."""
        for each in self.memory:
            os.close(each)
