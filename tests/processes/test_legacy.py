"""A daemon that is given a configuration of the Rust daemon: it serves, and says once what it has read."""

from __future__ import annotations

import os
from collections.abc import Callable

from netevd.config.legacy import VARIABLES
from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon, ip, running

LEGACY = """\
system: {log_format: json, log_level: debug}  # an ignored event is told at this level
monitoring: {interfaces: [wan]}
audit: {retention_days: 90}
filters:
  - match_rule: {interface: wan, event_type: carrier}
    action: ignore
"""


def notices(daemon: Daemon) -> list[str]:
    """Return what was said of the configuration, without where it stands."""
    said = [each["message"] for each in list(daemon.log) if "the Rust daemon" in each["message"]]
    return [each.removeprefix(f"{daemon.config}:") for each in said]


BEGINNINGS = (
    "2:14: monitoring.interfaces of the Rust daemon is read as network.links;",
    "3:9: audit.retention_days of the Rust daemon is left out:",
    "5:5: filters.match_rule of the Rust daemon is read as filters.match;",
)


def test_notices_are_said_once_for_each_configuration(make_daemon: Callable[..., Daemon]) -> None:
    """At the start and after a reload, and not again by a worker that follows a dead one."""
    daemon = make_daemon(LEGACY)
    daemon.script("carrier", "#!/bin/sh\nexit 1\n")
    with running(daemon.start()):
        said = notices(daemon)
        assert len(said) == len(BEGINNINGS)
        assert all(map(str.startswith, said, BEGINNINGS)), said

        ip("link add wan type veth peer name other", "link set wan up", "link set other up")
        daemon.wait_event("wan", "carrier")
        assert not daemon.events("other")
        verdict = daemon.expect(
            lambda entry: entry.get("event") == "carrier" and "verdict" in entry
        )
        assert "filter 1 (netevd.yaml:5)" in verdict["verdict"]

        daemon.kill("worker")
        daemon.expect_serving(2)
        assert notices(daemon) == said

        os.kill(daemon.pid, 1)
        daemon.expect_serving(3)
        wait_for(lambda: notices(daemon) == [*said, *said] or None, "the notices of the reload")


def test_variables_of_the_environment_are_read(make_daemon: Callable[..., Daemon]) -> None:
    """They are the supervisor's, need no file of root's, and one that can't be is a problem."""
    daemon = make_daemon("system: {log_level: info, log_format: json}\n")
    environment = dict.fromkeys(VARIABLES, "")
    environment |= {"NETEVD_LOG_LEVEL": "trace", "NETEVD_API_ENABLED": "false"}
    with running(daemon.start(environment=environment)):
        daemon.expect(lambda entry: entry["message"].startswith("input "))
        assert [each.split(":")[0] for each in notices(daemon)] == [
            "environment variable NETEVD_API_ENABLED",
            "environment variable NETEVD_LOG_LEVEL",
        ]

    wrong = make_daemon()
    with running(wrong.start(environment={"NETEVD_AUDIT_ENABLED": "yes"}, ready=False)):
        assert wrong.process is not None
        assert wrong.process.wait(timeout=20) == 1
        text = "environment variable NETEVD_AUDIT_ENABLED: enabled: expected true or false, found 'yes'"
        wrong.expect(lambda entry: text in entry["message"])
