"""The NVML emulator behind the real binding, inside the test's process, on a clock that the test moves."""

import ctypes
import functools
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynvml

from bench.nvml.curve import Board, script
from bench.nvml.emulator import SCRIPT, Clock, build
from collector.probes.nvml import Probe
from collector.sampling.sample import ProbeContext, Sample
from conventions.instruments import HW_ENERGY


@functools.cache
def library() -> Path:
    """Built once per test run."""
    return build(Path(tempfile.mkdtemp(prefix="nvml-emulator-")))


@contextmanager
def emulated(*boards: Board, reloads_s: Sequence[tuple[float, float]] = ()) -> Iterator[Clock]:
    """``nvidia-ml-py`` sees these boards inside; it is second 0 of the script until the clock is set."""
    before = {name: getattr(pynvml, name) for name in ("nvmlLib", "_nvmlGetFunctionPointer_cache")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boards.txt"
        path.write_text(script(boards, reloads_s))
        clock = Clock(Path(folder) / "clock")
        os.environ.update({SCRIPT: str(path), **clock.environment})
        pynvml.nvmlLib = ctypes.CDLL(str(library()))
        pynvml._nvmlGetFunctionPointer_cache = {}
        try:
            yield clock
        finally:
            for name in (SCRIPT, *clock.environment):
                del os.environ[name]
            for name, value in before.items():
                setattr(pynvml, name, value)


@contextmanager
def probing(*, counting_s: float = 0.0, reopen_every_s: float = 0.0, most_w: float = math.inf) -> Iterator[Probe]:
    """An open probe, that looks for what is gone at every reading; ``most_w`` is for tests whose clock outruns ours."""
    probe = Probe(ProbeContext(), counting_s, reopen_every_s, most_w)
    try:
        yield probe
    finally:
        probe.close()


def energy(samples: Sequence[Sample]) -> dict[str, Sample]:
    """The energy samples by device."""
    return {sample.device.id: sample for sample in samples if sample.instrument is HW_ENERGY and sample.device}


def by_name(samples: Sequence[Sample]) -> dict[str, Any]:
    """Values by instrument, of one board."""
    return {sample.instrument.name: sample.value for sample in samples}
