"""What a server tells Prometheus: requests, the drift agent's rows, and which version answers."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from heritage.serving.champion import Champion

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, champion: Champion) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "heritage_requests", "Requests to /predict by status code.", ["code"], registry=self._registry
        )
        self.rows = Counter("heritage_rows_answered", "Rows that were answered.", registry=self._registry)
        self.seconds = Histogram(
            "heritage_request_seconds", "Time of requests to /predict.", buckets=BUCKETS, registry=self._registry
        )
        self._registry.register(_Watched(champion))

    def text(self) -> bytes:
        """The page in Prometheus's text format."""
        return generate_latest(self._registry)


class _Watched(Collector):
    """The champion's and its agents' own counters, read when they are asked for."""

    def __init__(self, champion: Champion) -> None:
        self._champion = champion

    def collect(self) -> Iterable[Metric]:
        """Families of metrics."""
        rows = self._champion.totals
        counted = {
            "observed": (rows.observed, "Rows that the drift agent was told of."),
            "flushed": (rows.flushed, "Rows written to storage."),
            "repeated": (rows.repeated, "Rows that an earlier life of the same producer had written."),
            "dropped": (rows.dropped, "Rows lost before they were written."),
            "unlogged": (rows.unlogged, "Predictions counted but not kept by id."),
            "unkept": (rows.unkept, "Rows counted but not stored, where rows are to be stored."),
        }
        for name, (value, words) in counted.items():
            yield CounterMetricFamily(f"heritage_drift_rows_{name}", words, value=value)
        yield GaugeMetricFamily("heritage_drift_rows_waiting", "Rows that are not in storage yet.", value=rows.waiting)
        yield CounterMetricFamily(
            "heritage_drift_flush_failures", "Flushes that did not get through.", value=rows.failures
        )
        yield CounterMetricFamily("heritage_swaps", "Versions that were replaced.", value=self._champion.swaps)
        yield CounterMetricFamily(
            "heritage_load_failures", "Looks at the registry, or loads, that failed.", value=self._champion.failures
        )
        yield GaugeMetricFamily(
            "heritage_stale", "1 while the version of the alias cannot be loaded.", value=bool(self._champion.problem)
        )
        yield self._version()

    def _version(self) -> Metric:
        served = GaugeMetricFamily(
            "heritage_served", "The version that answers.", labels=["model", "version", "digest", "watched"]
        )
        if (now := self._champion.current) is not None:
            version = now.version
            served.add_metric([version.name, version.version, version.digest, str(now.agent is not None).lower()], 1)
        return served
