"""Measures in Prometheus's text format, printed once or served over HTTP.

Each scrape is a look at the dataflows that run then; between scrapes nothing is done.
Elsewhere: what is measured (`monitor.measures`).
"""

from __future__ import annotations

import threading
from itertools import accumulate
from typing import TYPE_CHECKING

from dora.errors import DoraError
from dora.monitor.measures import BOUNDS_S, Kind, measures

try:
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.utils import floatToGoString
except ImportError as exc:
    raise DoraError("metrics need `prometheus-client`: pip install 'dora-py[metrics]'") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dora.monitor.figures import Figures
    from dora.monitor.measures import Measure

_BOUNDS = (*map(floatToGoString, BOUNDS_S), "+Inf")


class FiguresCollector:
    """Gives the client library what it writes down; any thread may collect.

    Args:
        look: Gives how everything stands now. One thread at a time calls it.
    """

    def __init__(self, look: Callable[[], list[Figures]]) -> None:
        self._look = look
        self._looking = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """All measures, now."""
        with self._looking:
            flows = self._look()
        yield from map(_family, measures(flows))

    def describe(self) -> list[Metric]:
        """Nothing: that there are no two of one name, `monitor.measures` sees to."""
        return []


def text_of(look: Callable[[], list[Figures]]) -> str:
    """All measures, now, as text."""
    return generate_latest(_registry(look)).decode()


class Endpoint:
    """Serves the measures at every path of an address. `close()` ends it.

    Args:
        host: The address to listen at.
        port: The port; 0 for one that is free.
        look: See `FiguresCollector`.

    Raises:
        DoraError: nobody can listen there.
    """

    def __init__(self, host: str, port: int, look: Callable[[], list[Figures]]) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, _registry(look))
        except OSError as exc:
            raise DoraError(
                f"cannot listen at {host}, port {port}: {exc.strerror}; give another `--port`"
            ) from exc
        where = f"[{host}]" if ":" in host else host
        self.url = f"http://{where}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _registry(look: Callable[[], list[Figures]]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(FiguresCollector(look))
    return registry


def _family(measure: Measure) -> Metric:
    name, unit, told = measure.name, measure.unit, measure.told
    if measure.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, told, labels=measure.labels, unit=unit)
        for point in measure.points:
            summed = zip(_BOUNDS, accumulate(point.counts), strict=True)
            # No sum, for it is not counted; without one, OpenMetrics wants no count either.
            histogram.add_metric(point.labels, list(summed), sum_value=None)
        return histogram
    make = CounterMetricFamily if measure.kind is Kind.COUNTER else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = make(
        name, told, labels=measure.labels, unit=unit
    )
    for point in measure.points:
        family.add_metric(point.labels, point.value)
    return family
