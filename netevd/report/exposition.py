"""
Metrics as Prometheus reads them, by prometheus-client; imported when somebody asks for them first.

Each metric is kept written out until one of its series changes: writing out is what costs, 12 us a
series.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Final, TypeAlias

import prometheus_client.core as client
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from netevd.report.families import FAMILIES, Family
from netevd.report.series import Exemplar, Series

_END: Final = b"# EOF\n"
TEXT: Final = CONTENT_TYPE_PLAIN_0_0_4
OPENMETRICS: Final = openmetrics.CONTENT_TYPE_LATEST


_Bucket: TypeAlias = tuple[str, float] | tuple[str, float, client.Exemplar]


class _One:
    """A registry of one metric."""

    def __init__(self, metric: client.Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[client.Metric]:
        """Yield it."""
        yield self._metric


class Exposition:
    """Writes series out, as text and as OpenMetrics."""

    def __init__(self, series: dict[str, Series]) -> None:
        self._series = series
        self._written: dict[tuple[str, bool], tuple[int, bytes]] = {}
        """Each metric in each format, with the version of its series."""

    def write(self, *, modern: bool) -> bytes:
        """Return all metrics, as OpenMetrics or as text."""
        parts = [self._write_family(each, modern=modern) for each in FAMILIES]
        return b"".join([*parts, _END] if modern else parts)

    def _write_family(self, family: Family, *, modern: bool) -> bytes:
        series = self._series[family.name]
        version, written = self._written.get((family.name, modern), (-1, b""))
        if version != series.version:
            metric = _One(make_metric(series))
            if not series.cells:
                written = b""
            elif modern:
                text: bytes = openmetrics.generate_latest(metric)  # type: ignore[no-untyped-call]
                written = text.removesuffix(_END)
            else:
                written = generate_latest(metric)
            self._written[family.name, modern] = (series.version, written)
        return written


def make_metric(series: Series) -> client.Metric:
    """Return a metric of the library's with these series."""
    family = series.family
    text = family.help
    match family.kind:
        case "counter":
            counter = client.CounterMetricFamily(family.name, text, labels=family.labels)
            for labels, (value,) in sorted(series.cells.items()):
                counter.add_metric(labels, value)
            return counter
        case "gauge":
            gauge = client.GaugeMetricFamily(family.name, text, labels=family.labels)
            for labels, (value,) in sorted(series.cells.items()):
                gauge.add_metric(labels, value)
            return gauge
        case "info":
            info = client.InfoMetricFamily(family.name.removesuffix("_info"), text, labels=())
            for labels in sorted(series.cells):
                info.add_metric((), dict(zip(family.labels, labels, strict=True)))
            return info
        case "histogram":
            return _make_histogram(series)


def _make_histogram(series: Series) -> client.HistogramMetricFamily:
    family = series.family
    histogram = client.HistogramMetricFamily(family.name, family.help, labels=family.labels)
    ends = [*map(floatToGoString, family.bounds), "+Inf"]
    for labels, (*counts, total) in sorted(series.cells.items()):
        exemplars = series.exemplars.get(labels, {})
        buckets: list[_Bucket] = []
        for place, (end, count) in enumerate(zip(ends, accumulate(counts), strict=True)):
            found = exemplars.get(place)
            buckets.append((end, count, _show(found)) if found else (end, count))
        histogram.add_metric(labels, buckets, total)
    return histogram


def _show(found: Exemplar) -> client.Exemplar:
    return client.Exemplar({"sequence": str(found.sequence)}, found.value, found.time_s)
