"""
The one file that the supervisor writes: its own main configuration file, on behalf of the API.

What stands in it is bytes here. Each write is on trial until it is settled: beside the file lie then the
content of before (`.previous`) and the SHA-256 of the content that is on trial (`.unconfirmed`). Why so:
docs/decisions/0011.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import sha256
from typing import Final

from privsep.scripts import find_fault

DEFAULT: Final = "/etc/netevd/netevd.yaml"
_CHANGED: Final = ("changed", "was changed by hand since it was read: it stays as it is")


class ConfigurationFile:
    """
    The file, and what is on trial in it.

    Whatever is done about it has an outcome, as in `protocol.Settled`, and the words that tell it.
    """

    def __init__(self, path: str, owners: frozenset[int]) -> None:
        """owners: uids that may own the file and the directories above it."""
        self.path = os.path.realpath(path)
        self._owners = owners

    def replace(self, content: bytes, digest: str) -> tuple[str, str]:
        """Write content on trial. digest: SHA-256 of what has to stand in the file now."""
        if fault := find_fault(self.path, self._owners, script=False):
            return "unwritable", f"can't be written: {fault}"
        try:
            before = self._read()
            if sha256(before).hexdigest() != digest:
                return _CHANGED
            self._write(".previous", before)
            self._write(".unconfirmed", sha256(content).hexdigest().encode())
            self._write("", content)
        except OSError as error:
            for suffix in (".new", ".unconfirmed"):
                with contextlib.suppress(OSError):
                    os.unlink(self.path + suffix)
            return "unwritable", f"can't be written: {error.strerror}"
        return "written", "was written over the API"

    def settle(self, *, keep: bool) -> tuple[str, str]:
        """End the trial: keep its content, or bring back that of before."""
        if find_fault(f"{self.path}.unconfirmed", self._owners, script=False):
            return "nothing", ""
        try:
            same = sha256(self._read()).hexdigest().encode() == self._read(".unconfirmed")
            if same and not keep:
                os.rename(f"{self.path}.previous", self.path)
            os.unlink(f"{self.path}.unconfirmed")
        except OSError as error:
            return "unwritable", f"can't get its content of before again: {error.strerror}"
        if not same:
            return _CHANGED
        kept = ("kept", "stays as it is from now on")
        return kept if keep else ("rolled-back", "has its content of before again")

    def _read(self, suffix: str = "") -> bytes:
        with open(self.path + suffix, "rb") as file:
            return file.read(1024 * 1024)  # SIZE_LIMIT of netevd.config.tree

    def _write(self, suffix: str, content: bytes) -> None:
        """Write a file as ours is, owner, mode and access list: all of it is there, or nothing."""
        status, new = os.stat(self.path), f"{self.path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        with open(new, "xb") as file:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o777)
            for name in set(os.listxattr(self.path)) & {"system.posix_acl_access"}:
                os.setxattr(file.fileno(), name, os.getxattr(self.path, name))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, self.path + suffix)
