"""Reads probes and watchers once per interval in a thread of its own and feeds the rows through the pipeline.

Sources are opened in that thread too (loading a driver or a table of CPUs takes seconds), and closed at its end. Rounds
begin at whole multiples of the interval in UTC, where the ledger cuts its intervals: what is read there needs no
interpolation. A round that comes late is not made up for: counters are cumulative.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager

from collector.counters import Counters
from collector.decoding import columns
from collector.ingesting.pipeline import Pipeline
from collector.sampling.sample import Sample, Source
from conventions import attributes as names
from conventions.errors import Overloaded

SERVICE = "tokenjoule-collector"
SUBMIT_EVERY_S = 1.0
"""Rounds at a shorter interval go to the store together: a table costs as much CPU time as reading 50 boards."""

STOPPED_WITHIN_S = 10.0
"""A driver or an exporter that never answers must not keep the collector from stopping."""

OpenSources = Callable[[], AbstractContextManager[Sequence[Source]]]

_log = logging.getLogger(__name__)


class Sampler:
    """One thread over the sources that ``open_sources`` opens. ``start`` once, ``stop`` once."""

    def __init__(self, open_sources: OpenSources, interval_s: float, pipeline: Pipeline, counters: Counters) -> None:
        self._open_sources = open_sources
        self._interval_s = interval_s
        self._pipeline = pipeline
        self._counters = counters
        self._host = socket.gethostname()
        self._samples: list[Sample] = []
        self._failing: list[Source] = []  # said so
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin sampling."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample, so that the last interval is closed, and end the thread."""
        self._stopping.set()
        self._thread.join(STOPPED_WITHIN_S)

    def _run(self) -> None:
        with self._open_sources() as sources:
            self._round(sources)
            self._submit()
            submitted_s = time.monotonic()
            while not self._stopping.wait(until_next_s(self._interval_s, time.time())):
                self._round(sources)
                if time.monotonic() - submitted_s >= SUBMIT_EVERY_S - self._interval_s / 2:
                    self._submit()
                    submitted_s = time.monotonic()
            self._round(sources)
            self._submit()

    def _round(self, sources: Sequence[Source]) -> None:
        self._samples += [sample for source in sources for sample in self._timed(source)]

    def _submit(self) -> None:
        if not self._samples:
            return
        received_ns = time.time_ns()
        rows = [row(sample, received_ns, self._host) for sample in self._samples]
        self._samples = []
        try:
            done = self._pipeline.submit_rows("metric_points", columns.table("metric_points", rows))
        except Overloaded as error:
            self._lost(str(error))
        else:
            done.add_done_callback(self._committed)

    def _timed(self, source: Source) -> list[Sample]:
        began_s = time.thread_time()
        try:
            samples = source.read()
        except Exception:  # noqa: BLE001  a probe may be anybody's, and the others of its thread go on
            samples = []
            self._counters.lost_samples.inc()
            if source not in self._failing:
                _log.exception("%s cannot be read: its samples are missing until it can", source_name(source))
                self._failing.append(source)
        self._counters.sampling_cpu.labels(source_name(source)).inc(time.thread_time() - began_s)
        return samples

    def _committed(self, done: "Future[None]") -> None:
        error = done.exception()
        if error is not None:
            self._lost(str(error))

    def _lost(self, why: str) -> None:
        self._counters.lost_samples.inc()
        _log.warning("a round of samples was not stored (a gap, cumulative counters go on): %s", why)


def until_next_s(interval_s: float, now_s: float) -> float:
    """Seconds from ``now_s`` (UTC) to the next whole multiple of ``interval_s``, or the one after if that is too soon.

    Too soon is a hundredth of the interval: a wait that ended early must not make two rounds of one.
    """
    left_s = interval_s - now_s % interval_s
    return left_s if left_s > interval_s / 100 else left_s + interval_s


def source_name(source: Source) -> str:
    """What a source is called in our own counters: its module, as every probe's class has the same name."""
    return type(source).__module__.rsplit(".", 1)[-1]


def row(sample: Sample, received_ns: int, host: str) -> columns.Row:
    """``sample`` as a row of ``metric_points``, received at ``received_ns`` (UTC) on ``host``."""
    is_counter = sample.instrument.kind == "counter"
    found: columns.Row = {
        "received_ns": received_ns,
        "metric": sample.instrument.name,
        "unit": sample.instrument.unit,
        "kind": "sum" if is_counter else "gauge",
        "monotonic": True if is_counter else None,
        "temporality": "cumulative" if is_counter else None,
        "time_ns": sample.time_ns,
        "start_ns": sample.start_ns,
        "value": sample.value,
        "service": SERVICE,
        "engine": sample.engine,
        "resource": {names.SERVICE_NAME: SERVICE, "host.name": sample.host or host},
    }
    if sample.device is not None:
        found.update(device=sample.device.id, device_type=sample.device.kind)
        found["attributes"] = {names.HW_NAME: sample.device.name}
    if sample.provenance is not None:
        found.update(source=sample.provenance.source, scope=sample.provenance.scope, quality=sample.provenance.quality)
    return found
