"""Zeus: one ``ZeusMonitor`` per board, one measurement window per window."""

import json
from typing import Any

from readings import Readings, Window, asked, late, moments  # beside this file


class Board:
    """A monitor of one board; whatever it raises is its answer."""

    def __init__(self, number: int, epoch_s: float, readings: Readings) -> None:
        from zeus.monitor import ZeusMonitor

        self._epoch_s, self._readings = epoch_s, readings
        self._begun: dict[Window, float] = {}
        self.answer: Any = []
        self._monitor: Any = None
        self._try(lambda: setattr(self, "_monitor", ZeusMonitor(gpu_indices=[number], cpu_indices=[])))

    def begin(self, window: Window) -> None:
        """Open the window."""
        self._begun[window] = self._try(lambda: self._monitor.begin_window(str(window), sync_execution=False))[1]

    def end(self, window: Window) -> None:
        """Close it and keep what it says."""
        measured, end_s = self._try(lambda: self._monitor.end_window(str(window), sync_execution=False))
        if measured is not None:
            self.answer.append([self._begun[window], end_s, measured.total_energy])

    def _try(self, act: Any) -> tuple[Any, float]:
        if isinstance(self.answer, str):
            return None, 0.0
        try:
            result, at_s = self._readings.around(act)
        except Exception as error:  # noqa: BLE001
            self.answer = f"raised {type(error).__name__}: {error}"
            return None, 0.0
        return result, at_s - self._epoch_s


def main() -> None:
    """Print the spans of every board."""
    epoch_s, windows = asked()
    readings = Readings()
    boards = {number: Board(number, epoch_s, readings) for number in {window[0] for window in windows}}
    if told := late(windows, epoch_s):
        print(json.dumps(dict.fromkeys(boards, told)))
        return
    for is_end, window in moments(windows, epoch_s):
        (boards[window[0]].end if is_end else boards[window[0]].begin)(window)
    print(json.dumps({number: board.answer for number, board in boards.items()}))


if __name__ == "__main__":
    main()
