"""
Settings as they may be shown: what may be a secret is left out.

What addresses of webhooks and the like hold behind the host may be a password by itself.
"""

from __future__ import annotations

import re
from typing import Final

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/@\s]*@)?([^/?#\s]*)([/?#]\S*)?\Z")
_SECRET: Final = re.compile(
    r"password|passphrase|secret|private_key\Z|preshared_key\Z|token\Z|hash\Z"
)
"""Settings whose value is never shown, should one be added that is not the path of a file."""

HIDDEN: Final = "..."


def hide(value: object, name: str = "") -> object:
    """Return a setting as it may be shown. name: its key."""
    if isinstance(value, dict):
        # an origin is where a filter stands in its file, and no setting
        return {key: hide(each, key) for key, each in value.items() if key != "origin"}
    if isinstance(value, list | tuple):
        return [hide(each, name) for each in value]
    if isinstance(value, str) and value:
        if _SECRET.search(name):
            return HIDDEN
        if match := _ADDRESS.match(value):
            return f"{match[1]}{match[2]}" + (f"/{HIDDEN}" if match[3] not in {None, "/"} else "")
    return value
