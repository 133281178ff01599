"""A WireGuard device outside the kernel, by wireguard-go, with keys that must never be seen."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

from tests.boundary.rig import wait_for


class Tunnel:
    """One device in the network namespace of the caller; its name is its own on the whole machine."""

    def __init__(self, name: str, port: int, namespace: str = "") -> None:
        """namespace: name of the one that it is in instead."""
        self.name = name
        self._inside = ["ip", "netns", "exec", namespace] if namespace else []
        self.private = _make_key()
        self.public = subprocess.run(
            ["wg", "pubkey"], input=self.private, capture_output=True, text=True, check=True
        ).stdout.strip()
        self.secrets = [self.private]
        environment = {k: v for k, v in os.environ.items() if k != "WG_PROCESS_FOREGROUND"}
        self.process = subprocess.Popen(
            [*self._inside, "wireguard-go", "-f", name], env={**environment, "LOG_LEVEL": "error"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        path = Path(f"/run/wireguard/{name}.sock")
        wait_for(lambda: path.exists() or None, f"the socket of {name}")
        self.set("private-key", "/dev/stdin", "listen-port", str(port), given=self.private)

    def set(self, *words: str, given: str = "") -> None:
        """Run `wg set`."""
        subprocess.run(
            [*self._inside, "wg", "set", self.name, *words], input=given, text=True, check=True
        )

    def show(self) -> str:
        """Return what the device is, without its keys."""
        words = [*self._inside, "wg", "show", self.name]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def add_peer(self, public: str, *words: str, preshared: str = "") -> str:
        """Add a peer; return its preshared key."""
        key = preshared or _make_key()
        self.secrets.append(key)
        self.set("peer", public, "preshared-key", "/dev/stdin", *words, given=key)
        return key

    def close(self) -> None:
        """End the device."""
        self.process.kill()
        self.process.wait()
        Path(f"/run/wireguard/{self.name}.sock").unlink(missing_ok=True)


def _make_key() -> str:
    return subprocess.run(
        ["wg", "genkey"], capture_output=True, text=True, check=True
    ).stdout.strip()


def find_secret(secrets: list[str], content: bytes) -> str | None:
    """Return which of these keys is in here, as raw octets, base64 or hex; None for none of them."""
    for key in secrets:
        raw = base64.b64decode(key)
        if any(
            form in content
            for form in (
                raw,
                key.rstrip("=").encode(),
                raw.hex().encode(),
                raw.hex().upper().encode(),
            )
        ):
            return key
    return None
