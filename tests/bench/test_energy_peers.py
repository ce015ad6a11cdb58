"""A meter that was not ready for its window says so, and the comparison goes on without its figure."""

import time
from collections.abc import Sequence

from bench.energy_peers import Case, Spans, cases, report
from bench.nvml.watchers.readings import LATE, late


def test_late_is_who_is_ready_after_its_first_window_began() -> None:
    epoch_s = time.monotonic() - 100.0
    assert late([(0, 130.0, 140.0), (0, 150.0, 151.0)], epoch_s) is None
    told = late([(0, 30.0, 140.0), (0, 150.0, 151.0)], epoch_s)
    assert told is not None
    assert told.startswith(LATE)


def test_meters_without_a_figure_do_not_stop_the_others() -> None:
    boards: list[Case] = cases(10.0)[0]
    exact: Sequence[Spans | str] = [
        [(start_s, end_s, case.board.energy_j(start_s, end_s)) for start_s, end_s in case.windows] for case in boards
    ]
    silent: Sequence[Spans | str] = [f"{LATE} by 3.0 s"] * len(boards)
    nothing: Sequence[Spans | str] = [[] for _ in boards]
    figures = report(boards, {"exact": exact, "late": silent, "nothing": nothing})
    assert figures["worst error: exact"] == 0
    assert figures["worst error: late"] == "no figure"
    assert figures["constant: late"] == f"{LATE} by 3.0 s"
    assert figures["windows of 1 s: nothing"] == "nothing known"
