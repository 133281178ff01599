"""Recordings: one that can be replayed, or an error that names file and line."""

from __future__ import annotations

import io
from pathlib import Path

from netevd.kernel.recording import RecordingError, encode, read

_DATA = Path(__file__).parents[1] / "data" / "recordings"


def seeds() -> list[bytes]:
    """Return the beginnings of recordings."""
    return [
        b"".join(path.read_bytes().splitlines(keepends=True)[:12])
        for path in sorted(_DATA.glob("*.jsonl"))
    ]


def check(data: bytes) -> None:
    """Read it; what was read is written as it was understood."""
    try:
        recording = read(io.BytesIO(data), "fuzz")
    except RecordingError as error:
        assert str(error).startswith("fuzz:"), error  # what is printed of it is escaped there
        return
    lines = [encode(recording.header), *map(encode, recording.lines)]
    again = read(lines, "fuzz")
    assert again.lines == recording.lines
