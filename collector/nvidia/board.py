"""One NVIDIA board as NVML shows it: who it is, which energy it counts, how it is asked for its power."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pynvml

from collector.nvidia.counting import Counting, measure
from collector.nvidia.power import INSTANT, PowerQuestion, power_question
from collector.nvidia.silence import Silence, silence
from collector.sampling.integral import PowerIntegral
from collector.sampling.sample import Device, Provenance

MODULE_NAMES = ("GH200", "GB200", "GB300")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Board:
    """A board and its handle, which is void once ``lost``. ``integral`` serves boards without an energy counter."""

    handle: Any
    device: Device
    energy: Provenance
    power: PowerQuestion
    under_mig: bool
    counting: Counting | None = None
    refusal: str | None = None
    integral: PowerIntegral | None = None
    lost: bool = False
    silent: set[str] = field(default_factory=set)

    @property
    def power_provenance(self) -> Provenance:
        """Where a reading of power comes from."""
        module = self.power.nvml_scope == pynvml.NVML_POWER_SCOPE_MODULE
        return Provenance(self.power.source, "module" if module else self.energy.scope, "measured")

    def __str__(self) -> str:
        said = [f"{self.device.name} {self.device.id} by {self.energy.source} ({self.energy.scope})"]
        said += [str(self.counting)] if self.counting else []
        said += [self.refusal] if self.refusal else []
        said += ["power by field 186" if self.power.source == INSTANT else "power by power usage"]
        said += ["MIG is on: energy is the whole board's"] if self.under_mig else []
        return ", ".join(said)

    def power_w(self) -> float | None:
        """Watts, or ``None`` if the board does not answer now."""
        try:
            return self.power.ask(self.handle)
        except pynvml.NVMLError:
            return None

    def close(self) -> None:
        """Stop polling, where it was."""
        if self.integral is not None:
            self.integral.close()


def open_boards(counting_s: float) -> list[Board]:
    """All boards of this host; MIG instances are none. Raises ``NVMLError`` if the driver does not answer.

    A board that does not answer is left out and logged. ``counting_s`` bounds the look at each counter; 0 skips it.
    """
    boards: list[Board] = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            boards.append(open_board(pynvml.nvmlDeviceGetHandleByIndex(index), counting_s))
        except pynvml.NVMLError as error:
            if silence(error) is Silence.DRIVER_GONE:
                for board in boards:
                    board.close()
                raise
            _log.warning("GPU %d is left out: %s (%s)", index, error, silence(error).value)
    return boards


def open_board(handle: Any, counting_s: float) -> Board:
    """The board behind ``handle``. Raises ``NVMLError`` if it does not even say its name."""
    name = _text(pynvml.nvmlDeviceGetName(handle))
    device = Device(_text(pynvml.nvmlDeviceGetUUID(handle)), "gpu", name)
    question = power_question(handle)
    has_counter, refusal = _counter(handle)
    on_module = any(module in name for module in MODULE_NAMES) or _has_c2c(handle)
    energy = Provenance("nvml.counter" if has_counter else "nvml.power", "module" if on_module else "gpu", "measured")
    board = Board(handle, device, energy, question, _under_mig(handle), refusal=refusal)
    if not has_counter:
        board.integral = PowerIntegral(board.power_w)
    elif refusal is None and counting_s > 0:
        board.counting = measure(lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)), counting_s)
    return board


def _counter(handle: Any) -> tuple[bool, str | None]:
    """Whether the board has an energy counter, and why it cannot be read now although it may have one."""
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        if silence(error) is Silence.ABSENT:
            return False, None
        return True, f"its counter does not answer: {error} ({silence(error).value})"
    return True, None


def _has_c2c(handle: Any) -> bool:
    """Whether the board hangs on a Grace CPU, so that its counter is the whole module's (Zeus looks at this too)."""
    try:
        return bool(pynvml.nvmlDeviceGetC2cModeInfoV(handle).isC2cEnabled)
    except pynvml.NVMLError:
        return False


def _under_mig(handle: Any) -> bool:
    try:
        current, _pending = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:
        return False
    return bool(current)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
