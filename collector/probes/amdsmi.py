"""AMD GPUs through AMD SMI (the ``amdsmi`` package of ROCm): the energy accumulator, power, activity and memory.

It has never run on AMD hardware: it was written to ``amdsmi`` 7.0 and tried on a stand-in with that interface.

Accumulators of some boards stand still or are far off, and of a pair of dies on one card one may show nothing while its
twin shows both (MI250). So a counter is watched for half a second against the board's power before it is believed; one
that fails is replaced by integrated power, as ``amdsmi.power``, and a die that shows neither is left out.
"""

import contextlib
import importlib
import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from collector.sampling.cumulative import Beginnings
from collector.sampling.integral import PowerIntegral
from collector.sampling.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions.instruments import GPU_MEMORY_USAGE, GPU_UTILIZATION, HW_ENERGY, HW_POWER
from conventions.units import joules_from_microjoules

WATCHED_S = 0.5
BELIEVED = (0.4, 2.5)  # counter over power; between them lie load changes within half a second
POWERS = ("current_socket_power", "socket_power", "average_socket_power")  # W; which one a board has depends on its age
MOST_W = 10_000.0  # a counter that rises faster was misread
BYTES_PER_MB = 1_048_576

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Board:
    handle: Any
    device: Device
    integral: PowerIntegral | None = None
    silent: set[str] = field(default_factory=set)


class Probe:
    """All AMD GPUs of this host."""

    estimates = False
    scopes = frozenset({"gpu"})

    def __init__(self, context: ProbeContext, watched_s: float = WATCHED_S) -> None:
        del context  # every probe is built alike
        self._smi = _library()
        try:
            self._smi.amdsmi_init()
            handles = self._smi.amdsmi_get_processor_handles()
        except self._smi.AmdSmiException as error:
            raise ProbeUnavailable(f"no AMD driver here ({_short(error)})") from None
        self._beginnings = Beginnings(MOST_W)
        found = [self._open(handle, watched_s) for handle in handles]
        self._boards = [board for board in found if board is not None]
        if not self._boards:
            self._smi.amdsmi_shut_down()
            raise ProbeUnavailable("the AMD driver sees no GPU with a counter or power")
        self.description = ", ".join(
            f"{board.device.name} {board.device.id} by {_source(board)}" for board in self._boards
        )

    def read(self) -> list[Sample]:
        """Energy (J), power (W), utilisation (0 to 1) and memory (bytes) of every board that answers."""
        return [sample for board in self._boards for sample in self._read_board(board)]

    def close(self) -> None:
        """Stop polling and let the driver go."""
        for board in self._boards:
            if board.integral is not None:
                board.integral.close()
        with contextlib.suppress(self._smi.AmdSmiException):
            self._smi.amdsmi_shut_down()

    def _open(self, handle: Any, watched_s: float) -> _Board | None:
        board = _Board(handle, self._device(handle))
        why_not = self._distrust(board, watched_s)
        if why_not is None:
            return board
        if self._power_w(board) is None:
            _log.warning("%s is left out: %s, and it shows no power", board.device.id, why_not)
            return None
        _log.warning("%s: %s; power is integrated instead", board.device.id, why_not)
        board.integral = PowerIntegral(lambda: self._power_w(board))
        return board

    def _device(self, handle: Any) -> Device:
        name = str(self._smi.amdsmi_get_gpu_asic_info(handle)["market_name"])
        return Device(str(self._smi.amdsmi_get_gpu_device_uuid(handle)), "gpu", name)

    def _distrust(self, board: _Board, watched_s: float) -> str | None:
        """Why the board's counter is not believed; ``None`` if it is."""
        power_w, first_j, began_s = self._power_w(board), self._counted_j(board), time.monotonic()
        time.sleep(watched_s)
        last_j, elapsed_s = self._counted_j(board), time.monotonic() - began_s
        if first_j is None or last_j is None:
            return "its energy counter does not answer"
        if last_j <= first_j:
            return f"its energy counter stood still for {elapsed_s:.1f} s"
        ratio = (last_j - first_j) / elapsed_s / power_w if power_w else 1.0
        if not BELIEVED[0] <= ratio <= BELIEVED[1]:
            return f"its energy counter says {ratio:.2g} times its power"
        return None

    def _read_board(self, board: _Board) -> list[Sample]:
        found = [self._energy(board)]
        power = Provenance("amdsmi.power", "gpu", "measured")
        for instrument, value, provenance in (
            (HW_POWER, self._power_w(board), power),
            (GPU_UTILIZATION, self._activity(board), None),
            (GPU_MEMORY_USAGE, self._memory(board), None),
        ):
            if value is not None:
                found.append(Sample(instrument, value, time.time_ns(), None, board.device, provenance))
        return [sample for sample in found if sample is not None]

    def _energy(self, board: _Board) -> Sample | None:
        provenance = Provenance(_source(board), "gpu", "measured")
        if board.integral is not None:
            done = board.integral.read()
            if done is None:
                return None
            return Sample(HW_ENERGY, done.joules, done.time_ns, done.start_ns, board.device, provenance)
        joules, now_ns = self._counted_j(board), time.time_ns()
        if joules is None:
            return None
        start_ns = self._beginnings.start_ns(board.device.id, joules, now_ns)
        return Sample(HW_ENERGY, joules, now_ns, start_ns, board.device, provenance)

    def _counted_j(self, board: _Board) -> float | None:
        answer = self._ask(board, self._smi.amdsmi_get_energy_count)
        if answer is None:
            return None
        counted = answer.get("energy_accumulator", answer.get("power"))  # "power" before amdsmi 6.2.1
        return joules_from_microjoules(counted * answer["counter_resolution"])

    def _power_w(self, board: _Board) -> float | None:
        answer = self._ask(board, self._smi.amdsmi_get_power_info) or {}
        watts = (answer.get(name) for name in POWERS)
        return next((float(one) for one in watts if isinstance(one, int | float) and one > 0), None)

    def _activity(self, board: _Board) -> float | None:
        busy = (self._ask(board, self._smi.amdsmi_get_gpu_activity) or {}).get("gfx_activity")
        return busy / 100.0 if isinstance(busy, int | float) else None

    def _memory(self, board: _Board) -> float | None:
        used = (self._ask(board, self._smi.amdsmi_get_gpu_vram_usage) or {}).get("vram_used")
        return float(used * BYTES_PER_MB) if isinstance(used, int | float) else None

    def _ask(self, board: _Board, question: Callable[[Any], dict[str, Any]]) -> dict[str, Any] | None:
        """The answer, or ``None`` if the board has none; that is logged once per board and question."""
        try:
            return question(board.handle)
        except self._smi.AmdSmiException as error:
            if question.__name__ not in board.silent:
                board.silent.add(question.__name__)
                _log.info("%s of %s: %s", question.__name__, board.device.id, _short(error))
            return None


def _library() -> Any:
    """The binding. Without ROCm's library it prints and then fails in its own ways: neither may reach our output."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module("amdsmi")
    except ImportError:
        raise ProbeUnavailable("no amdsmi here: on a ROCm machine install the amdsmi package of its version") from None
    except (OSError, KeyError, AttributeError) as error:
        raise ProbeUnavailable(f"amdsmi does not find ROCm's libamd_smi.so ({error!r})") from None


def _source(board: _Board) -> str:
    return "amdsmi" if board.integral is None else "amdsmi.power"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())
