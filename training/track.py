"""``tokenjoule.track``: three lines that give a training or batch job its joules, from the ledger that requests use.

    with tokenjoule.track("train") as job:
        for batch in batches:
            job.step(samples=len(batch), loss=train(batch))

While the job runs its counts and the CPU time of its processes go out once a second as OTLP metrics, and at its end a
span ``job train``. Where to: ``endpoint``, else ``OTEL_EXPORTER_OTLP_ENDPOINT``; without either nothing is sent.

The only module of ``training`` that imports the OpenTelemetry SDK. Data points are made from the SDK's own classes:
its meters date a counter from its first reading and not from the job's start, and begin anew in forked data loaders.
"""

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from conventions import attributes as names
from conventions import instruments
from conventions.instruments import Instrument
from training.cputime import CpuShares, ProcessTree
from training.devices import hardware_threads, torch_gpus
from training.job import Description, Job, current_job

__all__ = ["Job", "current_job", "track"]

SERVICE: Final = "tokenjoule-job"
REPORT_EVERY_S: Final = 1.0  # the ledger's intervals are 2 s
EXPORT_TIMEOUT_S: Final = 2.0  # also how long the end of a job waits at most, twice, for a collector that is away
LONGEST_PAUSE_S: Final = 60.0  # between attempts while nobody answers
SCOPE: Final = InstrumentationScope("tokenjoule.training")
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
CLOSING: Final = {"ok": StatusCode.OK, "failed": StatusCode.ERROR, "interrupted": StatusCode.ERROR}

_log = logging.getLogger(__name__)
_random = RandomIdGenerator()


def track(
    name: str,
    *,
    endpoint: str | None = None,
    job_id: str | None = None,
    devices: Sequence[str] | None = None,
    precision: str | None = None,
    gradient_checkpointing: bool | None = None,
    count_flops: bool = True,
) -> Job:
    """A job called ``name`` that reports to the collector at ``endpoint`` (``http://host:port``).

    ``job_id`` continues an earlier job: its counts and joules are added up over all runs with that id. ``devices`` are
    the ``hw.id`` (UUID) of the GPUs it uses; by default those on which torch holds memory, none meaning the CPU.
    ``precision`` (``"bf16"``) and ``gradient_checkpointing`` are kept beside the figures. ``count_flops`` counts one
    step's operations with torch and multiplies.

    Use it in a ``with`` statement or as a decorator. It never waits for the collector except at the end of the job,
    and then for a few seconds at most; an exception of the job goes through unchanged and marks it failed.
    """
    said = Description(
        name, job_id, None if devices is None else tuple(devices), precision, gradient_checkpointing, count_flops
    )
    chosen = endpoint or os.environ.get(ENDPOINT)
    if not chosen:
        _log.info("job %s is not reported: give track() an endpoint or set %s (http://host:4318)", name, ENDPOINT)
        return Job(said, None)
    return Job(said, _reporter(chosen.rstrip("/")))


class Reporter:
    """Reports all jobs of this process to one collector, in a thread that lives while any is open.

    A forked child has its own: the thread does not survive the fork, and jobs of the parent stay the parent's.
    """

    def __init__(self, endpoint: str, cpu: CpuShares) -> None:
        self._endpoint = endpoint
        self._cpu = cpu
        self._metrics = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=EXPORT_TIMEOUT_S)
        self._spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        self._contexts: dict[str, SpanContext] = {}  # by leg
        self._open: list[Job] = []
        self._lock = threading.Lock()  # over the list and the exporters
        self._due = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._failures = 0

    def opened(self, job: Job) -> None:
        """Begin to report ``job``."""
        parent = self._contexts.get(job.parent.leg) if job.parent else None
        trace_id = parent.trace_id if parent else _random.generate_trace_id()
        context = SpanContext(trace_id, _random.generate_span_id(), False, TraceFlags(TraceFlags.SAMPLED))
        with self._lock:
            self._contexts[job.leg] = context
            self._open.append(job)
            self._cpu.enter(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tokenjoule-jobs", daemon=True)
                self._thread.start()

    def closed(self, job: Job) -> None:
        """Report the end of ``job``, then forget it."""
        self._cpu.leave(job)
        with self._lock:
            self._open.remove(job)
            context = self._contexts.pop(job.leg)
            parent = self._contexts.get(job.parent.leg) if job.parent else None
            if self._export([job]):
                with _quiet():
                    sent = self._spans.export([_span(job, context, parent)]) is SpanExportResult.SUCCESS
                if not sent:
                    _log.warning("the span of job %s was not taken by %s; its figures were", job.job_id, self._endpoint)
            else:
                _log.warning("the end of job %s could not be reported to %s", job.job_id, self._endpoint)
        with self._due:
            self._due.notify()

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            with self._due:
                self._due.wait(pause_s)
            with self._lock:
                if not self._open:
                    self._thread = None
                    return
                self._cpu.advance()
                self._export(self._open)
                pause_s = min(REPORT_EVERY_S * 2**self._failures, LONGEST_PAUSE_S)

    def _export(self, jobs: Sequence[Job]) -> bool:
        """Whether the collector took a report of ``jobs``; counters are cumulative, so the next one makes up for it."""
        now_ns = time.time_ns()
        with _quiet():
            answer = self._metrics.export(MetricsData([_report(job, now_ns) for job in jobs]))
        if answer is MetricExportResult.SUCCESS:
            self._failures = 0
            return True
        if not self._failures:
            _log.warning("%s does not take the report of a job; it goes on and will try again", self._endpoint)
        self._failures = min(self._failures + 1, 10)
        return False


def _report(job: Job, now_ns: int) -> ResourceMetrics:
    """All that ``job`` says now, as one resource."""
    scope = ScopeMetrics(SCOPE, list(_metrics(job, now_ns)), "")
    return ResourceMetrics(_resource(job), [scope], "")


def _metrics(job: Job, now_ns: int) -> Iterator[Metric]:
    at, flops = job.progress, job.flops
    counts = {
        instruments.PROCESS_CPU_TIME: job.cpu_s,
        instruments.JOB_DURATION: job.duration_s,
        instruments.JOB_STEPS: at.steps,
        instruments.JOB_SAMPLES: at.samples,
        instruments.JOB_TOKENS: at.tokens,
    }
    for instrument, value in counts.items():
        yield _metric(instrument, value, job, now_ns)
    if flops is not None:
        said: dict[str, Any] = {names.JOB_FLOPS_METHOD: flops[1]}
        if job.estimate is not None and job.estimate.cost_s is not None:
            said[names.JOB_FLOPS_COST_S] = job.estimate.cost_s
        yield _metric(instruments.JOB_FLOPS, flops[0], job, now_ns, said)
    if at.loss is not None and math.isfinite(at.loss):
        yield _metric(instruments.JOB_LOSS, at.loss, job, now_ns)
    if job.status is not None:
        yield _metric(instruments.JOB_ENDED, 1, job, now_ns, _known(_ending(job)))


def _metric(
    instrument: Instrument, value: float, job: Job, now_ns: int, said: Mapping[str, Any] | None = None
) -> Metric:
    point = NumberDataPoint(dict(said or {}), job.started_ns, now_ns, value)
    is_counter = instrument.kind == "counter"
    data = Sum([point], AggregationTemporality.CUMULATIVE, True) if is_counter else Gauge([point])
    return Metric(instrument.name, instrument.description, instrument.unit, data)


def _resource(job: Job) -> Resource:
    said = job.said
    devices = torch_gpus() if said.devices is None else said.devices
    return Resource.create(
        _known(
            {
                names.SERVICE_NAME: SERVICE,
                names.SERVICE_INSTANCE: job.leg,
                names.HOST_NAME: socket.gethostname(),
                names.PROCESS_PID: os.getpid(),
                names.JOB_ID: job.job_id,
                names.JOB_NAME: said.name,
                names.JOB_PARENT: job.parent_id,
                names.JOB_WITHIN: job.within,
                names.JOB_DEVICES: list(devices) or None,
                names.JOB_THREADS: hardware_threads(),
                names.JOB_PRECISION: said.precision,
                names.JOB_CHECKPOINTING: said.gradient_checkpointing,
            }
        )
    )


def _span(job: Job, context: SpanContext, parent: SpanContext | None) -> ReadableSpan:
    """The job as one span, with its totals; it has no role, so it is no model call."""
    at, flops = job.progress, job.flops
    totals = {
        instruments.JOB_STEPS.name: at.steps,
        instruments.JOB_SAMPLES.name: at.samples,
        instruments.JOB_TOKENS.name: at.tokens,
        instruments.JOB_FLOPS.name: flops[0] if flops else None,
        instruments.JOB_LOSS.name: at.loss,
        instruments.PROCESS_CPU_TIME.name: job.cpu_s,
    }
    assert job.status is not None
    return ReadableSpan(
        f"job {job.said.name}",
        context,
        parent,
        _resource(job),
        _known({names.JOB_ID: job.job_id, **totals, **_ending(job)}),
        status=Status(CLOSING[job.status], job.error_type if job.status != "ok" else None),
        start_time=job.started_ns,
        end_time=job.started_ns + round(job.duration_s * 1e9),
        instrumentation_scope=SCOPE,
    )


def _ending(job: Job) -> dict[str, Any]:
    return {names.JOB_STATUS: job.status, names.ERROR_TYPE: job.error_type}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@cache
def _reporter_of(endpoint: str, _pid: int) -> Reporter:
    return Reporter(endpoint, _cpu_shares(_pid))


@cache
def _cpu_shares(_pid: int) -> CpuShares:
    """One split of CPU time per process, whatever the number of collectors."""
    return CpuShares(ProcessTree())


def _reporter(endpoint: str) -> Reporter:
    return _reporter_of(endpoint, os.getpid())


_silenced = threading.local()
for _exporter in (OTLPMetricExporter, OTLPSpanExporter):
    logging.getLogger(_exporter.__module__).addFilter(lambda _: not getattr(_silenced, "now", False))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters' own complaints, once a second, are kept from the log of the job; we say it once."""
    _silenced.now = True
    try:
        yield
    finally:
        _silenced.now = False
