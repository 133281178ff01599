"""Configuration files: a configuration or problems with places, whatever stands in them."""

from __future__ import annotations

from pathlib import Path

from netevd.config.load import Loaded, load
from privsep.protocol import UNPRINTABLE

_TOP = Path(__file__).parents[2]
_NOWHERE = "/nonexistent/netevd.yaml"


def seeds() -> list[bytes]:
    """Return the examples, a configuration of the Rust daemon, and small ones with what is rare."""
    found = [path.read_bytes() for path in sorted(_TOP.glob("examples/*/*.yaml"))]
    found.append((_TOP / "tests/data/rust-netevd.yaml").read_bytes())
    return [
        *found,
        b"filters: [{match: {interface_pattern: 'eth*', condition: 'dns_count > 0 && kind == \"veth\"'}, action: ignore}]\n",
        b"routing: {policy: {enabled: true}, rules: [{priority: 20100, from: 10.0.0.0/8, table: 52}]}\n",
        b'api: {port: "${PORT:-9090}", tls: {cert_file: /a, key_file: /b}, allowed_hosts: [a]}\n',
        b"include: [/nonexistent/*.yaml]\nscript_timeout: 30s\ndebounce: {enabled: true, overrides: [{interface_pattern: a}]}\n",
        b"scripts: {rules: [{path: /etc/netevd/a.d/b, capabilities: [CAP_NET_ADMIN], limits: {memory: 1GiB}}]}\n",
        b"a: &a [1, 2]\nb: *a\n<<: {c: !!int 1}\n--- 1\n",
    ]


def check(data: bytes) -> None:
    """Load it; every problem has a text, and what is loaded has one form."""
    loaded = load(_NOWHERE, {"PORT": "9090"}, data)
    if isinstance(loaded, Loaded):
        repr(loaded.configuration)
    else:
        assert loaded
        assert not any(UNPRINTABLE.search(str(problem)) for problem in loaded), loaded
