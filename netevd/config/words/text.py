"""Words, names, paths and choices as values, and what every reader begins with."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from typing import Any, Final, get_args

from netevd.config import kinds

_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?\Z", re.IGNORECASE)
_MUTEX = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
GLOB = re.compile(r"[*?\[]")
_HASH = re.compile(r"sha256:[0-9a-f]{64}\Z")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]\Z")
"""32 octets leave the last character two bits that are 0. Source: RFC 4648 section 4."""
_WRITTEN_TRUE: Final = {"true": True, "false": False}


def show(value: object) -> str:
    """Return what a value of the tree is, in words for a message."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(str(value)[:80])


def read_text(value: object, expected: str) -> str:
    """Return what is one line of text. expected: what it should be, for the message."""
    if not isinstance(value, str):
        raise TypeError(f"expected {expected}, found {show(value)}")
    if "\0" in value or "\n" in value:
        raise ValueError(f"expected {expected}, found a line end or NUL in it")
    return value


def read_bool(value: object, _: object) -> bool:
    """Read true or false."""
    text = read_text(value, "true or false")
    if text.lower() not in _WRITTEN_TRUE:
        raise ValueError(f"expected true or false, found {text[:80]!r}")
    return _WRITTEN_TRUE[text.lower()]


def read_lease_files(value: object, _: object) -> tuple[str, ...]:
    """Read paths; their directories are watched, and let into a sandbox, so they are no globs."""
    words = read_words(value, "paths such as /var/lib/dhcp/dhclient*.leases")
    for word in words:
        directory, _, name = word.rpartition("/")
        if not directory.startswith("/") or not name:
            raise ValueError(
                "expected absolute paths such as /var/lib/dhcp/dhclient*.leases, of files below a"
                f" directory, found {word[:80]!r}"
            )
        if GLOB.search(directory) or os.path.normpath(directory) != directory:
            raise ValueError(f"only the last part of a path may be a glob, found {word[:80]!r}")
        if len(word) > 4095:
            raise ValueError(f"expected at most 4095 characters, found {len(word)}")
    if len(words) > 32:
        raise ValueError(f"expected at most 32 paths, found {len(words)}")
    return tuple(dict.fromkeys(words))


def read_mutex(value: object, _: object) -> str:
    """Read a MutexName or TokenName."""
    text = read_text(value, "a name of letters, digits, dots, hyphens and underscores")
    if not _MUTEX.match(text):
        raise ValueError(
            "expected a name of at most 64 letters, digits, dots, hyphens and underscores,"
            f" found {text[:80]!r}"
        )
    return text


def read_words(value: object, what: str) -> list[str]:
    """Return the words of a list, or of text with blanks between them."""
    if isinstance(value, list):
        return [read_text(word, what) for word in value]
    return read_text(value, what).split()


def check_name(word: str, expected: str) -> None:
    """Raise ValueError for what can be no interface name and no glob of one."""
    if not word or any(character.isspace() or character == "/" for character in word):
        raise ValueError(f"expected {expected}, found {word[:80]!r}")


def read_expression(value: object, _: object) -> str:
    """Read the text of a condition; what it says is checked by `condition`."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f'expected a CEL expression such as "mtu > 1500", found {show(value)}')
    if len(value) > kinds.EXPRESSION_LIMIT:
        most = kinds.EXPRESSION_LIMIT
        raise ValueError(f"expected at most {most} characters, found {len(value)}")
    return value


def read_path(value: object, _: object) -> str:
    """Read an AbsolutePath."""
    text = read_text(value, "an absolute path")
    if not text.startswith("/") or len(text) > 1024:
        raise ValueError(f"expected an absolute path such as /etc/netevd, found {text[:80]!r}")
    return re.sub("^//+", "/", os.path.normpath(text))


def read_socket_path(value: object, kind: object) -> str:
    """Read a SocketPath."""
    path = read_path(value, kind)
    if len(os.fsencode(path)) > 107:
        raise ValueError(f"expected at most 107 octets, found {len(os.fsencode(path))}")
    return path


def read_hash(value: object, _: object) -> str:
    """Read a TokenHash."""
    text = read_text(value, "sha256: and 64 hexadecimal digits")
    if not _HASH.match(text):
        raise ValueError(
            "expected sha256: and 64 hexadecimal digits, as `netevd token create` prints it"
        )  # what was found may be the secret itself
    return text


def read_user(value: object, _: object) -> str:
    """Read an UserName."""
    text = read_text(value, "the name of a system user")
    if not _USER.match(text):
        raise ValueError(f"expected the name of a system user, found {text[:80]!r}")
    return text


def read_globs(value: object, _: object) -> tuple[str, ...]:
    """Read a Globs."""
    words = read_words(value, "absolute paths such as /etc/wireguard/*.conf")
    for word in words:
        if not word.startswith("/") or len(word) > 1024:
            raise ValueError(
                f"expected absolute paths such as /etc/wireguard/*.conf, found {word[:80]!r}"
            )
    return tuple(dict.fromkeys(words))


def read_choice(value: object, kind: Any) -> str:
    """Read one of the words that a type consists of."""
    words = get_args(kind)
    text = read_text(value, f"one of {', '.join(words)}")
    if text not in words:
        close = difflib.get_close_matches(text, words, 1)
        advice = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expected one of {', '.join(words)}, found {text[:80]!r}{advice}")
    return text


def read_capabilities(value: object, _: object) -> tuple[str, ...]:
    """Read a Capability."""
    known = get_args(kinds.Capability)
    words = read_words(value, "names of capabilities such as CAP_NET_ADMIN")
    for word in words:
        if word not in known:
            close = difflib.get_close_matches(word.upper(), known, 1, 0.6)
            advice = f"did you mean {close[0]}?" if close else "see capabilities(7)"
            raise ValueError(
                f"expected capabilities such as CAP_NET_ADMIN, found {word[:80]!r}; {advice}"
            )
    return tuple(dict.fromkeys(words))


def read_fingerprint(value: object, _: object) -> str:
    """Read a Fingerprint."""
    text = read_text(value, "a fingerprint such as SHA256:...").strip()
    if _FINGERPRINT.match(text):
        return text
    expected = "expected SHA256: and 43 characters, as `ssh-keygen -l -f KEY.pub` prints it"
    bare = re.sub(r"^0x|\s", "", text).upper()
    if re.fullmatch("[0-9A-F]{40}|[0-9A-F]{64}", bare):
        if importlib.util.find_spec("pysequoia") is not None:
            return bare
        raise ValueError(
            f"{expected}, found what looks like an OpenPGP fingerprint: that needs pysequoia, which is not"
            " installed here (netevd's extra openpgp, see docs/signing.md)"
        )
    raise ValueError(f"{expected}, found {text[:80]!r}")
