"""NVIDIA GPUs through NVML (nvidia-ml-py): the board's energy counter, its power and how busy it is.

The counter (mJ since the driver began) is the total; power is only its shape. Boards are told apart by UUID
(``CUDA_VISIBLE_DEVICES`` does not renumber NVML). Under MIG, energy and power are the board's: instances are not
listed, so that nothing is counted once per instance. On Grace superchips the counter covers the whole module. Boards
older than Volta have no counter; their power is integrated instead, and the source then says ``nvml.power``.

A counter that goes back, a board that was lost and came back and a driver that was reloaded begin a new series
(``start_ns``): what was used in between is a gap. What each error means stands in ``collector/nvidia/silence.py``.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import pynvml

from collector.nvidia.board import Board, open_board, open_boards
from collector.nvidia.counting import LONGEST_S
from collector.nvidia.silence import Silence, silence
from collector.sampling.cumulative import Beginnings
from collector.sampling.sample import ProbeContext, ProbeUnavailable, Sample
from conventions.instruments import (
    GPU_MEMORY_USAGE,
    GPU_UTILIZATION,
    HW_ENERGY,
    HW_ENERGY_READ_TIME,
    HW_ENERGY_REFRESH,
    HW_POWER,
    Instrument,
)
from conventions.units import joules_from_millijoules

NVIDIAS_OWN = "_nvmlGetFunctionPointer"  # by which Zeus too tells nvidia-ml-py from its forks (codecarbon 933)
REOPEN_EVERY_S = 5.0
MOST_W = 10_000.0  # four times a module of the largest boards of 2025: a counter that rises faster was misread

_log = logging.getLogger(__name__)


class Probe:
    """All NVIDIA boards of this host. ``counting_s`` bounds the look at each board's counter; 0 skips it.

    ``most_w`` is the fastest that a counter can rise.
    """

    estimates = False

    def __init__(
        self,
        context: ProbeContext,
        counting_s: float = LONGEST_S,
        reopen_every_s: float = REOPEN_EVERY_S,
        most_w: float = MOST_W,
    ) -> None:
        del context  # every probe is built alike
        self._counting_s = counting_s
        self._reopen_every_s = reopen_every_s
        self._boards = _open(counting_s)
        self._fresh = list(self._boards)  # those whose counting has not been told yet
        self._beginnings = Beginnings(most_w)
        self._driver_gone = False
        self._retry_s = 0.0
        self.scopes = frozenset(board.energy.scope for board in self._boards)
        self.description = "; ".join(str(board) for board in self._boards)

    def read(self) -> list[Sample]:
        """Energy (J), power (W), utilisation (0 to 1) and memory (bytes) of every board that answers."""
        self._regain()
        told = [sample for board in self._fresh for sample in _counting(board)]
        self._fresh = []
        return told + [sample for board in self._boards for sample in self._read_board(board)]

    def close(self) -> None:
        """Stop polling and shut NVML down; a driver that is gone has nothing to shut."""
        for board in self._boards:
            board.close()
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _read_board(self, board: Board) -> list[Sample]:
        found = [self._energy(board)]
        for instrument, question in (
            (HW_POWER, board.power.ask),
            (GPU_UTILIZATION, _utilization),
            (GPU_MEMORY_USAGE, _memory_used),
        ):
            value = self._ask(board, instrument, question)
            provenance = board.power_provenance if instrument is HW_POWER else None
            if value is not None:
                found.append(Sample(instrument, value, time.time_ns(), None, board.device, provenance))
        return [sample for sample in found if sample is not None]

    def _energy(self, board: Board) -> Sample | None:
        if board.integral is not None and not board.lost:
            done = board.integral.read()
            if done is None:
                return None
            return Sample(HW_ENERGY, done.joules, done.time_ns, done.start_ns, board.device, board.energy)
        asked_ns = time.time_ns()
        millijoules = self._ask(board, HW_ENERGY, pynvml.nvmlDeviceGetTotalEnergyConsumption)
        if millijoules is None:
            return None
        time_ns = (asked_ns + time.time_ns()) // 2  # a reading may take milliseconds
        joules = joules_from_millijoules(millijoules)
        start_ns = self._beginnings.start_ns(board.device.id, joules, time_ns)
        return Sample(HW_ENERGY, joules, time_ns, start_ns, board.device, board.energy)

    def _ask(self, board: Board, instrument: Instrument, question: Callable[[Any], Any]) -> Any:
        """The answer, or ``None`` if the board has none; that is logged once per board, instrument and error."""
        if board.lost or self._driver_gone:
            return None
        try:
            return question(board.handle)
        except pynvml.NVMLError as error:
            meaning = silence(error, aside=instrument not in (HW_ENERGY, HW_POWER))
            board.lost = meaning is Silence.BOARD_LOST
            self._driver_gone = meaning is Silence.DRIVER_GONE
            self._say_once(board, f"{instrument.name}: {error}", meaning)
            return None

    def _say_once(self, board: Board, what: str, meaning: Silence) -> None:
        if what not in board.silent:
            board.silent.add(what)
            level = logging.INFO if meaning in (Silence.ABSENT, Silence.LATER) else logging.WARNING
            _log.log(level, "%s %s (%s)", board.device.id, what, meaning.value)

    def _regain(self) -> None:
        """Look again for what is gone, every ``reopen_every_s``; what comes back begins a new series."""
        lost = [board for board in self._boards if board.lost]
        if not (lost or self._driver_gone) or time.monotonic() < self._retry_s:
            return
        self._retry_s = time.monotonic() + self._reopen_every_s
        if self._driver_gone or len(lost) == len(self._boards):
            self._reopen()
        else:
            self._boards = [self._looked_up(board) if board.lost else board for board in self._boards]

    def _reopen(self) -> None:
        self.close()
        try:
            self._boards = _open(0.0)
        except ProbeUnavailable as why:
            _log.debug("still gone: %s", why)
            return
        self._driver_gone = False
        for board in self._boards:
            self._welcome(board)

    def _looked_up(self, board: Board) -> Board:
        """The board again, with a new handle if it has one."""
        try:
            again = open_board(pynvml.nvmlDeviceGetHandleByUUID(board.device.id.encode()), 0.0)
        except pynvml.NVMLError as error:
            _log.debug("%s is still gone: %s", board.device.id, error)
            return board
        board.close()
        self._welcome(again)
        return again

    def _welcome(self, board: Board) -> None:
        self._beginnings.renew(board.device.id)
        _log.warning("%s answers again; what it used meanwhile is not known", board.device.id)


def _open(counting_s: float) -> list[Board]:
    if not hasattr(pynvml, NVIDIAS_OWN):
        raise ProbeUnavailable(
            f"{pynvml.__file__} is not NVIDIA's binding but another of that name: "
            "pip uninstall pynvml and what shadows it, then pip install --force-reinstall nvidia-ml-py"
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise ProbeUnavailable(f"no NVIDIA driver here ({error})") from None
    try:
        boards = open_boards(counting_s)
    except pynvml.NVMLError as error:
        boards, why = [], f"the NVIDIA driver does not answer ({error}: {silence(error).value})"
    else:
        why = "the NVIDIA driver sees no GPU that answers"
    if not boards:
        pynvml.nvmlShutdown()
        raise ProbeUnavailable(why)
    return boards


def _counting(board: Board) -> list[Sample]:
    if board.counting is None:
        return []
    values = ((HW_ENERGY_READ_TIME, board.counting.read_s), (HW_ENERGY_REFRESH, board.counting.refresh_s))
    now_ns = time.time_ns()
    return [Sample(instrument, value, now_ns, None, board.device) for instrument, value in values if value is not None]


def _utilization(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100.0


def _memory_used(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
