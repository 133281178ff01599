"""Links that flap while a test disturbs the daemon, and what must be so afterwards."""

from __future__ import annotations

import time
from itertools import pairwise
from threading import Event, Thread
from typing import Any

from tests.boundary.rig import DEADLINE, wait_for
from tests.processes.rig import RECORD, Daemon, ip

EVENTS = ("carrier", "no-carrier", "address-added", "address-removed")
"""Event types that have a recording script."""


class Storm:
    """Pairs of links, each taken down and up at the far end beside an address that comes and goes."""

    def __init__(self, daemon: Daemon, links: int, pause_s: float) -> None:
        """pause_s: seconds between two changes of all links."""
        self.daemon = daemon
        self.names = [f"eth{number}" for number in range(links)]
        self.rounds = 0
        self._pause = pause_s
        self._over = Event()
        self._thread = Thread(target=self._blow)
        for event in EVENTS:
            daemon.script(event, RECORD)

    def prepare(self) -> None:
        """Make the links; the two ends have different indexes, or the kernel holds changes back."""
        ip(
            *[
                f"link add name {name} index {100 + number} type veth peer name p{name}"
                for number, name in enumerate(self.names)
            ],
            *[f"link set {end}{name} addrgenmode none" for name in self.names for end in ("", "p")],
            *[f"link set {name} up" for name in self.names],
            *[f"link set p{name} up" for name in self.names],
        )

    def begin(self) -> None:
        """Let it blow until `end`."""
        self._thread.start()

    def end(self) -> None:
        """Let it end, with every link up and without address."""
        self._over.set()
        self._thread.join()

    def _blow(self) -> None:
        while not self._over.is_set():
            self.rounds += 1
            ip(
                *[f"link set p{name} down" for name in self.names],
                *[f"addr add {self._address(n)}/24 dev {name}" for n, name in self._numbered()],
            )
            time.sleep(self._pause)  # the pace of the storm, not a wait for anything
            ip(
                *[f"link set p{name} up" for name in self.names],
                *[f"addr del {self._address(n)}/24 dev {name}" for n, name in self._numbered()],
            )
            time.sleep(self._pause)

    def _numbered(self) -> list[tuple[int, str]]:
        return list(enumerate(self.names))

    def _address(self, number: int) -> str:
        return f"10.{number}.{self.rounds // 250}.{self.rounds % 250 + 1}"

    # --- what must be so -------------------------------------------------------------------------

    def check_all_told(self, seconds: float = DEADLINE) -> None:
        """
        Every change was told once and its script run once, in order for each link.

        seconds: how long what waits may take on a busy machine.
        """
        wanted = 2 * len(self.names) * self.rounds

        def count() -> tuple[int, int]:
            own = [words for words in self.daemon.record() if words[1] in self.names]
            flaps = sum(words[2] in {"carrier", "no-carrier"} for words in own)
            return flaps, sum(
                words[2].startswith("address") and ":" not in words[5] for words in own
            )

        file = self.daemon.scripts / "data" / "record"
        wait_for(lambda: file.read_bytes().count(b"\n") >= 2 * wanted or None, "every run", seconds)
        wait_for(lambda: count() >= (wanted, wanted) or None, "every run", seconds)
        assert count() == (wanted, wanted)
        for name in self.names:
            own = [words for words in self.daemon.record() if words[1] == name]
            flaps = [words[2] for words in own if words[2] in {"carrier", "no-carrier"}]
            assert flaps == ["no-carrier", "carrier"] * self.rounds
            addresses = [w[2] for w in own if w[2].startswith("address") and ":" not in w[5]]
            assert addresses == ["address-added", "address-removed"] * self.rounds
        self.check_order()

    def check_order(self, told: list[dict[str, Any]] | None = None) -> None:
        """
        Numbers have neither hole nor repeat; no script ran twice for one event, none out of order.

        told: the events, as the log has them; the log may lack what a worker that died had no time for.
        """
        numbers = [each["sequence"] for each in told or self.daemon.announced()]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        ran = [(int(words[0]), words[1], words[2]) for words in self.daemon.record()]
        assert len(ran) == len(set(ran))
        for name in self.names:
            own = [number for number, link, _ in ran if link == name]
            assert own == sorted(own)

    def check_ends(self) -> None:
        """Each run has one end in the log."""
        ended = [e["run"] for e in self.daemon.log if "exited with code" in e.get("message", "")]
        assert len(ended) == len(set(ended))
        assert all(earlier != later for earlier, later in pairwise(sorted(ended)))

    def check_truth(self, announced: list[dict[str, Any]]) -> None:
        """After deaths: nothing is told twice, what was told last is so. announced: see `check_order`."""
        self.check_order(announced)
        for name in self.names:
            own = [each for each in announced if each["interface"] == name]
            carrier = [e["event"] for e in own if e["event"] in {"carrier", "no-carrier"}]
            assert all(earlier != later for earlier, later in pairwise(carrier)), "told twice"
            assert carrier[-1] == "carrier"
            held: set[str] = set()
            for each in own:
                if each["event"] == "address-added":
                    assert each["ip"] not in held
                    held.add(each["ip"])
                elif each["event"] == "address-removed":
                    held.remove(each["ip"])
            assert not [ip for ip in held if ":" not in ip]
