"""/metrics, in the words of Prometheus. The numbers are the daemon's vitals as they stand when somebody asks."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.vitals import Histogram, Tally, Vitals


def registry_of(vitals: Vitals) -> CollectorRegistry:
    """All that is measured of one daemon."""
    registry = CollectorRegistry()
    registry.register(_Daemon(vitals))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class _Daemon(Collector):
    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is collected before anybody asks

    def collect(self) -> Iterator[Metric]:
        vitals = self._vitals
        built = {"version": version("asbuilt"), "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
        yield _gauge("build_info", "Which version this is.", {tuple(built.values()): 1}, list(built))
        yield _gauge("healthy", "1 while the loop and the writer go on, as /healthz says.", not vitals.hangs())
        yield _gauge("ready", "1 while the plant is watched and what is seen is stored, as /readyz says.", _ok(vitals))
        polls = CounterMetricFamily("asbuilt_polls", "Polls, by outcome.", labels=["outcome"])
        for outcome, times in sorted(vitals.polls.copy().items()):
            polls.add_metric([outcome], times)
        yield polls
        yield _histogram("poll_seconds", "How long polls took.", vitals.poll_seconds)
        yield _histogram("poll_lateness_seconds", "How late polls began.", vitals.lateness)
        yield _histogram("commit_seconds", "How long the store took to commit.", vitals.commit_seconds)
        yield _gauge("loop_lag_seconds", "How late the loop's last turn came.", vitals.loop_lag)
        yield _gauge("store_up", "1 while the store can be read and written.", vitals.store_trouble is None)
        yield from _tally(vitals.tally)


def _tally(tally: Tally) -> Iterator[Metric]:
    yield _gauge("assets", "Assets, by verdict.", {(key,): n for key, n in tally.verdicts.items()}, ["verdict"])
    yield _gauge("blind", "Assets and segments that are not seen now.", tally.blind)
    yield _gauge("alarms", "Alarms that are not normal.", tally.alarms, ["state", "severity"])
    yield _gauge("messages_waiting", "Messages that are still to be sent.", tally.messages)
    yield _gauge("runs", "Runs of equal outcomes that were ever begun.", tally.runs)
    yield _gauge(
        "sensor_up", "1 while a segment is heard.", {(n,): not s.deaf for n, s in tally.segments.items()}, ["segment"]
    )
    for name, text in {
        "packets": "Frames that a sensor has seen.",
        "dropped": "Frames that were lost before it saw them.",
        "malformed": "Messages that were none.",
    }.items():
        counted = CounterMetricFamily(f"asbuilt_sensor_{name}", text, labels=["segment"])
        for segment, said in tally.segments.items():
            counted.add_metric([segment], getattr(said, name))
        yield counted


def _ok(vitals: Vitals) -> bool:
    return not vitals.lacks()


def _gauge(
    name: str, text: str, values: float | Mapping[Any, float], labels: list[str] | None = None
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"asbuilt_{name}", text, labels=labels)
    for key, value in (values if isinstance(values, Mapping) else {(): values}).items():
        gauge.add_metric(key, float(value))
    return gauge


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    """Prometheus wants each bucket to count what is in those below as well."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts.copy(), strict=True):
        total += count
        buckets.append((bound, float(total)))
    return HistogramMetricFamily(f"asbuilt_{name}", text, buckets=buckets, sum_value=histogram.sum)
