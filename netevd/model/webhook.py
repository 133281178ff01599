"""Whom events are posted to: what identifies a webhook, and what may be shown of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import frozen


@frozen(slots=True)
class Target:
    """A place that events are posted to. Two filters may name the same."""

    url: str
    headers_file: str = ""
    """Path of the file with its headers, "" for none."""

    @property
    def shown(self) -> str:
        """The address without path and query, in which many services keep a secret."""
        parts = urlsplit(self.url)
        rest = "/..." if parts.path not in {"", "/"} or parts.query else "/"
        return f"{parts.scheme}://{parts.netloc}{rest}"
