"""The fixtures of the process tests."""

from tests.processes.conftest import daemon, make_daemon, namespace

__all__ = ["daemon", "make_daemon", "namespace"]
