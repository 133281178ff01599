"""What `hot` answers: metrics, and answers of the API that depend on nothing but what has happened."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from netevd.http.accept import choose
from netevd.http.endpoints import JSON
from netevd.http.hot import Page
from netevd.report import families
from netevd.report.gauges import Gauges
from netevd.report.health import Vitals, judge
from netevd.report.metrics import Metrics
from netevd.report.view import View

if TYPE_CHECKING:
    from netevd.report.exposition import Exposition

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
EXAMINED_S: Final = 1.0
"""Helper and runners are asked how they are at most this often, in seconds."""
_WANTED: Final = re.compile(r"application/openmetrics-text *(;[^,]*)?(,|\Z)", re.IGNORECASE)
_REFUSED: Final = re.compile(r"; *q=0(\.0*)? *(;|\Z)|; *version=[^1]", re.IGNORECASE)


class MetricsPage:
    """GET /metrics."""

    alone = True

    def __init__(
        self, metrics: Metrics, gauges: Gauges, examine: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> None:
        """examine: finds out how the daemon is, by check."""
        self._examine = examine
        self._examined = -float("inf")
        self._metrics = metrics
        self._gauges = gauges
        self._exposition: Exposition | None = None

    def choose(self, accept: str) -> str:
        """Return OpenMetrics for whoever names version 1 of it, text for all others."""
        wanted = any(not _REFUSED.search(each[1] or "") for each in _WANTED.finditer(accept))
        return OPENMETRICS if wanted else TEXT

    async def prepare(self) -> None:
        """Find out how the daemon is, at most once a second."""
        now = trio.current_time()
        if now - self._examined >= EXAMINED_S:
            self._examined = now
            found = await self._examine()
            self._metrics.tell(families.HEALTH, dict.fromkeys(found.items(), 1.0))

    def find_version(self) -> object:
        """Return what is different once a metric may be."""
        return self._metrics.version, time.time() >= self._metrics.find_due()

    def make(self, content_type: str) -> bytes:
        """Return all metrics."""
        if self._exposition is None:
            from netevd.report.exposition import Exposition  # noqa: PLC0415 - when it is asked for

            self._exposition = Exposition(self._metrics.series)
        self._gauges.refresh(time.time())
        return self._exposition.write(modern=content_type == OPENMETRICS)


class JsonPage:
    """An answer of the API without parameters."""

    alone = False

    async def prepare(self) -> None:
        """Do nothing: what has happened is known."""

    def __init__(self, metrics: Metrics, show: Callable[[], object]) -> None:
        """show: makes what the API itself would answer, or None."""
        self._metrics = metrics
        self._show = show

    def choose(self, accept: str) -> str | None:
        """Return JSON for whoever takes it."""
        return choose(accept, (JSON,))

    def find_version(self) -> object:
        """Return what is different once something has happened."""
        return self._metrics.handled

    def make(self, content_type: str) -> bytes | None:
        """Return the answer of now, None where it is too long to be made at once."""
        del content_type
        shown = self._show()
        return None if shown is None else msgspec.json.encode(shown)


def make_pages(view: View, examine: Callable[[], Awaitable[Vitals]]) -> dict[str, Page]:
    """Return what is answered without the API, by path."""

    async def check() -> dict[str, str]:
        return {
            name: each["status"] for name, each in judge(view, await examine())["checks"].items()
        }

    if not view.metrics.settings.enabled:
        return {}
    return {"/metrics": MetricsPage(view.metrics, view.gauges, check)}


def keep_answers(view: View, answers: Mapping[str, Callable[[], object]]) -> dict[str, Page]:
    """Return pages of what the API answers without parameters, by path."""
    return {path: JsonPage(view.metrics, show) for path, show in answers.items()}
