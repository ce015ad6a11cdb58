"""A tracked job: what a training loop or batch script tells about itself while it runs, and how it ended.

Nothing here may stop the program that it watches: what goes wrong inside is logged and left.
"""

import functools
import inspect
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, cast

from training.flops import FlopEstimate

LOSS_EVERY_S: Final = 1.0  # reading a loss waits for the GPU, so not at every step
COUNTED: Final = "counted"
STATED: Final = "stated"
AROUND: Final = "TOKENJOULE_JOB"  # tells child processes who is around them: job id, a space, leg

_log = logging.getLogger(__name__)
_current: "ContextVar[Job | None]" = ContextVar("tokenjoule_job", default=None)

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Description:
    """What a job says of itself before it begins; None is not known."""

    name: str
    job_id: str | None = None
    devices: tuple[str, ...] | None = None
    precision: str | None = None
    gradient_checkpointing: bool | None = None
    count_flops: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts since the leg began; None is not known."""

    steps: int = 0
    samples: int = 0
    tokens: int = 0
    stated_flops: float | None = None
    loss: float | None = None

    @property
    def amount(self) -> int:
        """What work is measured in: tokens where the job tells them, else samples, else steps."""
        return self.tokens or self.samples or self.steps


class Watcher(Protocol):
    """Who hears of jobs: ``training.track.Reporter``."""

    def opened(self, job: "Job") -> None:
        """``job`` begins."""
        ...

    def closed(self, job: "Job") -> None:
        """``job`` is over; returns once its end is reported, or cannot be."""
        ...


class Job:
    """One job, made by ``tokenjoule.track``. A context manager that is used once, or a decorator."""

    def __init__(self, said: Description, watcher: Watcher | None) -> None:
        self.said = said
        self.leg = secrets.token_hex(8)  # this run of it; a resumed job has several
        self.job_id = said.job_id or f"{said.name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{self.leg[:4]}"
        self.parent: Job | None = None  # in this process
        self.parent_id, self.within = _around()
        self.progress = Progress()
        self.estimate = FlopEstimate() if said.count_flops and watcher is not None else None
        self.cpu_s = 0.0  # of this leg; the watcher adds to it
        self.status: str | None = None
        self.error_type: str | None = None
        self.started_ns = 0
        self._watcher = watcher
        self._began_s = 0.0
        self._ended_s: float | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loss: Any = None
        self._loss_at_s = float("-inf")
        self._outside: str | None = None

    def step(self, *, samples: int = 0, tokens: int = 0, flops: float | None = None, loss: Any = None) -> None:
        """One step is done: an optimizer step, a batch of documents, a file.

        ``samples`` and ``tokens`` are those of this step. ``flops``: its floating-point operations where they are
        known; then none are counted. ``loss``: a number, or a tensor of one element, read once a second only.
        """
        if self._watcher is None or os.getpid() != self._pid:
            return
        with _harmless("report a step"):
            self._count(samples, tokens, flops)
            if loss is not None:
                self._see(loss)

    @property
    def duration_s(self) -> float:
        """Seconds since the leg began, until it ended."""
        return (time.monotonic() if self._ended_s is None else self._ended_s) - self._began_s

    @property
    def flops(self) -> tuple[float, str] | None:
        """Operations so far and how they are known; None where they are not."""
        at, estimate = self.progress, self.estimate
        if at.stated_flops is not None:
            return at.stated_flops, STATED
        if estimate is None or estimate.per_unit is None:
            return None
        return estimate.per_unit * at.amount, COUNTED

    def __enter__(self) -> Self:
        assert not self.started_ns, "a job runs once: call track() again for another"
        self.started_ns, self._began_s = time.time_ns(), time.monotonic()
        around = _current.get()
        if around is not None and around.is_running:
            self.parent, self.parent_id, self.within = around, around.job_id, around.within
        _current.set(self)
        if self._watcher is not None:
            self._outside, os.environ[AROUND] = os.environ.get(AROUND), f"{self.job_id} {self.leg}"
            with _harmless("begin"):
                self._watcher.opened(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended_s = time.monotonic()
        self.status, self.error_type = _ending(error)
        _current.set(self.parent)
        if self._watcher is None or os.getpid() != self._pid:
            return
        if self._outside is None:
            os.environ.pop(AROUND, None)
        else:
            os.environ[AROUND] = self._outside
        with _harmless("stop counting operations"):
            if self.estimate is not None:
                self.estimate.stop()
        with _harmless("read the last loss"):
            self._read_loss()
        with _harmless("report the end"):
            self._watcher.closed(self)

    def __call__(self, function: Function) -> Function:
        """Decorate ``function``: every call is a job of its own, and ``tokenjoule.current_job()`` is it."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked_later(*arguments: Any, **named: Any) -> Any:
                with Job(self.said, self._watcher):
                    return await function(*arguments, **named)

            return cast(Function, tracked_later)

        @functools.wraps(function)
        def tracked(*arguments: Any, **named: Any) -> Any:
            with Job(self.said, self._watcher):
                return function(*arguments, **named)

        return cast(Function, tracked)

    @property
    def is_running(self) -> bool:
        """Whether it has begun in this process and is not over."""
        return bool(self.started_ns) and self._ended_s is None and os.getpid() == self._pid

    def _count(self, samples: int, tokens: int, flops: float | None) -> None:
        with self._lock:
            at = self.progress
            at = replace(at, steps=at.steps + 1, samples=at.samples + samples, tokens=at.tokens + tokens)
            if flops is not None:
                at = replace(at, stated_flops=(at.stated_flops or 0.0) + flops)
            self.progress = at
        if flops is not None and self.estimate is not None:
            self.estimate.stop()
            self.estimate = None
        if self.estimate is not None:
            self.estimate.step_done(self.progress.amount)

    def _see(self, loss: Any) -> None:
        self._loss = loss.detach() if hasattr(loss, "detach") else loss
        now_s = time.monotonic()
        if now_s - self._loss_at_s >= LOSS_EVERY_S:
            self._loss_at_s = now_s
            self._read_loss()

    def _read_loss(self) -> None:
        if self._loss is not None:
            seen, self._loss = float(self._loss), None
            with self._lock:
                self.progress = replace(self.progress, loss=seen)


def current_job() -> Job:
    """The innermost job that runs here; outside of any, one that takes everything and reports nothing."""
    job = _current.get()
    return job if job is not None and job.is_running else Job(Description("none"), None)


def _around() -> tuple[str | None, str | None]:
    """Job and leg of the process that started this one, from the environment."""
    job_id, _, leg = os.environ.get(AROUND, "").rpartition(" ")
    return job_id or None, leg or None


def _ending(error: BaseException | None) -> tuple[str, str | None]:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "ok", None
    kind = type(error).__qualname__
    return ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed"), kind


_told: set[str] = set()


@contextmanager
def _harmless(doing: str) -> Iterator[None]:
    """What goes wrong inside is logged the first time; a loop of a million steps must not say it a million times."""
    try:
        yield
    except Exception:  # noqa: BLE001  telemetry must not stop the program that it watches, whatever goes wrong in it
        if doing not in _told:
            _told.add(doing)
            _log.exception("could not %s; the job itself goes on", doing)
