"""NVIDIA GPUs through NVML (nvidia-ml-py): the board's energy counter, its power and how busy it is.

Boards are told apart by UUID (``CUDA_VISIBLE_DEVICES`` does not renumber NVML). Under MIG, energy and power are the
board's: instances are not listed, so that nothing is counted once per instance. The counter is in mJ and begins with
the driver. Boards older than Volta have none; their power is integrated instead, and the source then says
``nvml.power``. On Grace superchips the counter covers the whole module.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml

from collector.cumulative import Beginnings
from collector.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions.instruments import GPU_MEMORY_USAGE, GPU_UTILIZATION, HW_ENERGY, HW_POWER, Instrument
from conventions.units import joules_from_millijoules, watts_from_milliwatts

MODULE_NAMES = ("GH200", "GB200", "GB300")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Board:
    """One GPU. ``integrated_j`` and ``last_power`` (monotonic s, W) serve boards without an energy counter."""

    handle: Any
    device: Device
    provenance: Provenance
    has_counter: bool
    integrated_j: float = 0.0
    last_power: tuple[float, float] | None = None


class Probe:
    """All NVIDIA boards of this host."""

    estimates = False

    def __init__(self, context: ProbeContext) -> None:  # noqa: ARG002  # every probe is built alike
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise ProbeUnavailable(f"no NVIDIA driver here ({error})") from None
        self._boards = [_board(index) for index in range(pynvml.nvmlDeviceGetCount())]
        if not self._boards:
            pynvml.nvmlShutdown()
            raise ProbeUnavailable("the NVIDIA driver sees no GPU")
        self._beginnings = Beginnings()
        self._silent: set[tuple[str, str]] = set()
        self.scopes = frozenset(board.provenance.scope for board in self._boards)
        self.description = ", ".join(
            f"{board.device.name} {board.device.id} by {board.provenance.source}" for board in self._boards
        )

    def read(self) -> list[Sample]:
        """Energy (J), power (W), utilisation (0 to 1) and memory (bytes) of every board that answers."""
        return [sample for board in self._boards for sample in self._read_board(board)]

    def close(self) -> None:
        """Shut NVML down."""
        pynvml.nvmlShutdown()

    def _read_board(self, board: _Board) -> list[Sample]:
        power_mw = self._ask(board, pynvml.nvmlDeviceGetPowerUsage)
        energy_j = self._energy_j(board, power_mw)
        busy = self._ask(board, pynvml.nvmlDeviceGetUtilizationRates)
        memory = self._ask(board, pynvml.nvmlDeviceGetMemoryInfo)
        now_ns = time.time_ns()
        samples = []
        if energy_j is not None:
            start_ns = self._beginnings.start_ns(board.device.id, energy_j, now_ns)
            samples.append(Sample(HW_ENERGY, energy_j, now_ns, start_ns, board.device, board.provenance))
        if power_mw is not None:
            samples.append(_gauge(HW_POWER, watts_from_milliwatts(power_mw), now_ns, board))
        if busy is not None:
            samples.append(_gauge(GPU_UTILIZATION, busy.gpu / 100.0, now_ns, board))
        if memory is not None:
            samples.append(_gauge(GPU_MEMORY_USAGE, float(memory.used), now_ns, board))
        return samples

    def _energy_j(self, board: _Board, power_mw: int | None) -> float | None:
        if board.has_counter:
            energy_mj = self._ask(board, pynvml.nvmlDeviceGetTotalEnergyConsumption)
            return None if energy_mj is None else joules_from_millijoules(energy_mj)
        return None if power_mw is None else _integrate(board, watts_from_milliwatts(power_mw))

    def _ask(self, board: _Board, question: Callable[[Any], Any]) -> Any:
        """The answer, or ``None`` if the board has none; that is logged once per board and question."""
        try:
            return question(board.handle)
        except pynvml.NVMLError as error:
            asked = (board.device.id, question.__name__)
            if asked not in self._silent:
                self._silent.add(asked)
                _log.info("%s of %s: %s", question.__name__, board.device.id, error)
            return None


def _board(index: int) -> _Board:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name = _text(pynvml.nvmlDeviceGetName(handle))
    device = Device(_text(pynvml.nvmlDeviceGetUUID(handle)), "gpu", name)
    has_counter = _has_energy_counter(handle)
    scope = "module" if has_counter and any(module in name for module in MODULE_NAMES) else "gpu"
    source = "nvml.counter" if has_counter else "nvml.power"
    return _Board(handle, device, Provenance(source, scope, "measured"), has_counter)


def _has_energy_counter(handle: Any) -> bool:
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError_NotSupported:
        return False
    except pynvml.NVMLError:
        return True  # lost or busy now; it may answer later
    return True


def _integrate(board: _Board, power_w: float) -> float:
    """Trapezoids between readings, in joules since the first one."""
    now_s = time.monotonic()
    if board.last_power is not None:
        last_s, last_w = board.last_power
        board.integrated_j += (now_s - last_s) * (power_w + last_w) / 2.0
    board.last_power = (now_s, power_w)
    return board.integrated_j


def _gauge(instrument: Instrument, value: float, now_ns: int, board: _Board) -> Sample:
    provenance = Provenance("nvml.power", board.provenance.scope, "measured") if instrument is HW_POWER else None
    return Sample(instrument, value, now_ns, None, board.device, provenance)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
