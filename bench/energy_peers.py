"""How far is measured GPU energy off the truth: our NVML probe, Zeus and CodeCarbon on the same emulated boards.

All watch the same curves at the same time through ``nvidia-ml-py``. Zeus and CodeCarbon run from the virtual
environment that ``TOKENJOULE_BENCH_PEERS`` names (``VERSIONS``). The boards are emulated: this compares what meters do
with the same counter, not how good a counter is. Windows begin at whole seconds of UTC, as the ledger's intervals do,
except in the curve that says otherwise; to the counter's steps they stand anyhow.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.nvml.curve import Board, Failure, square
from bench.nvml.emulator import Played, build, play
from bench.nvml.watchers.readings import LATE
from bench.peers import VARIABLE
from bench.result import options, publish
from collector.sampling.sampler import until_next_s

WATCHERS = Path(__file__).parent / "nvml" / "watchers"
TIMEOUT, GPU_IS_LOST = 10, 15
WARM_UP_S = 40.0  # the peers' imports; without peers an eighth of it
WARM_UPS = (1, 2, 4)  # times that: where a meter was not ready in time all are started again
OPENED_S = 6.043  # windows begin so long after the boards' time begins, at a whole second of UTC
HOURS_MJ = 1e9  # what a counter shows after hours
PASCAL = {"arch": 4, "counter": 0, "gpu_scope": 0, "usage_average": 0, "period_ms": 20, "window_ms": 20}

OURS = "bench.nvml.watchers.watch_tokenjoule"
INTERVALS = {"tokenjoule, 1 s": 1.0, "tokenjoule, 0.1 s": 0.1}
PEERS = ("zeus", "codecarbon")
VERSIONS = ("zeus==0.16.0", "codecarbon==3.3.2")

SUMMARIES = {"median error": statistics.median, "worst error": max}

Window = tuple[int, float, float]  # board, start, end
Spans = Sequence[tuple[float, float, float]]  # start, end, joules


@dataclass(frozen=True, slots=True)
class Case:
    """A board and the windows in which its energy is wanted."""

    name: str
    board: Board
    windows: tuple[tuple[float, float], ...]


def cases(window_s: float) -> list[list[Case]]:
    """The boards of two hosts, with windows of ``window_s`` from ``OPENED_S`` on; Zeus wants a host's boards alike."""
    start, middle, end = OPENED_S, OPENED_S + window_s / 2, OPENED_S + window_s
    fast, fast_s = square(60.0, 700.0, 0.5)
    bursts, bursts_s = square(60.0, 700.0, 0.31, 0.065)
    slow, slow_s = square(60.0, 700.0, 2.3)
    old, old_s = square(60.0, 250.0, 0.7)
    hours = {"base_mj": HOURS_MJ}
    outage = [Failure("energy", middle - 1.1, middle + 1.7, TIMEOUT)]
    lost = [Failure("any", middle + 0.4, 1e9, GPU_IS_LOST)]
    whole = ((start, end),)
    short = tuple((start + second, start + second + 1.0) for second in range(0, int(window_s), 2))
    anywhere = tuple((begin_s + 0.41, end_s + 0.41) for begin_s, end_s in short)
    modern = [
        Case("constant", _board(0, [(0.0, 300.0)]), whole),
        Case("square wave", _board(1, fast, fast_s), whole),
        Case("20 ms bursts", _board(2, bursts, bursts_s), whole),
        Case("windows of 1 s", _board(3, slow, slow_s), short),
        Case("… at any moment", _board(4, slow, slow_s), anywhere),
        Case("counter reset", _board(5, slow, slow_s, settings=hours, resets_s=[middle]), whole),
        Case("no answer for 2.8 s", _board(6, slow, slow_s, settings=hours, failures=outage), whole),
        Case("board lost", _board(7, slow, slow_s, settings=hours, failures=lost), whole),
        Case("MIG, 7 instances", _board(8, fast, fast_s, settings={"mig": 7.0}), whole),
    ]
    return [modern, [Case("no counter (Pascal)", _board(0, old, old_s, settings=PASCAL), whole)]]


def _board(number: int, steps: Sequence[tuple[float, float]], repeat_s: float = 0.0, **more: object) -> Board:
    return Board(f"GPU-{number:02d}", steps, repeat_s, **more)  # type: ignore[arg-type]


def watch(played: Played, found: Sequence[Case]) -> dict[str, "list[subprocess.Popen[str]]"]:
    """All meters that are there, started on the boards of one host."""
    windows = [(board, *window) for board, case in enumerate(found) for window in case.windows]
    started = {
        name: [_start(played, [sys.executable, "-m", OURS], windows, every_s)] for name, every_s in INTERVALS.items()
    }
    for peer in present():
        groups = [windows] if peer == "zeus" else [_of(windows, board) for board in range(len(found))]
        started[peer] = [_start(played, [str(_python()), str(WATCHERS / f"watch_{peer}.py")], one) for one in groups]
    return started


def present() -> list[str]:
    """The peers that the virtual environment has."""
    python = _python()
    probing = [(peer, [str(python), "-c", f"import {peer}"]) for peer in PEERS if python.exists()]
    return [peer for peer, command in probing if subprocess.run(command, capture_output=True).returncode == 0]


def _python() -> Path:
    return Path(os.environ.get(VARIABLE, "/nowhere")) / "bin" / "python"


def _of(windows: Sequence[Window], board: int) -> list[Window]:
    return [window for window in windows if window[0] == board]


def _start(played: Played, program: list[str], windows: Sequence[Window], *more: float) -> "subprocess.Popen[str]":
    path = str(WATCHERS.parents[2]) if OURS in program else ""
    environment = {**os.environ, **played.environment, "PYTHONPATH": path}
    command = [*program, repr(played.epoch_s), json.dumps(windows), *map(str, more)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def claims(processes: "Sequence[subprocess.Popen[str]]") -> list[Spans | str]:
    """What one meter says of the boards of one host, by board; a text where it has no figure."""
    found: dict[int, Spans | str] = {}
    for process in processes:
        said, complained = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{process.args}: {complained[-2000:]}")
        found |= {int(board): spans for board, spans in json.loads(said.splitlines()[-1]).items()}
    return [found[board] for board in sorted(found)]


def error(case: Case, spans: Spans | str) -> tuple[float, float] | str:
    """Relative error of what is claimed (mean absolute one of several windows), and the share of time left unknown."""
    if isinstance(spans, str):
        return spans
    if len(case.windows) > 1:
        true = [case.board.energy_j(start_s, end_s) for start_s, end_s, _ in spans]
        off_j = [abs(joules - true_j) for (_, _, joules), true_j in zip(spans, true, strict=True)]
        if not spans:
            return "nothing known"
        return sum(off_j) / sum(true), 1 - len(spans) / len(case.windows)
    true_j = sum(case.board.energy_j(start_s, end_s) for start_s, end_s, _ in spans)
    known_s = sum(end_s - start_s for start_s, end_s, _ in spans)
    (start_s, end_s), claimed_j = case.windows[0], sum(joules for _, _, joules in spans)
    return (claimed_j / true_j - 1 if true_j else 0.0), max(0.0, 1 - known_s / (end_s - start_s))


def report(found: Sequence[Case], said: Mapping[str, Sequence[Spans | str]]) -> dict[str, float | str]:
    """Print the table; the figures by curve and meter, and the peers' errors over ours."""
    table = Table("curve", "true J", *said, title="relative error of joules (and time left unknown)")
    figures: dict[str, float | str] = {}
    for number, case in enumerate(found):
        errors = {meter: error(case, spans[number]) for meter, spans in said.items()}
        true_j = sum(case.board.energy_j(*window) for window in case.windows)
        table.add_row(case.name, f"{true_j:,.0f}", *map(_cell, errors.values()))
        figures |= {f"{case.name}: {meter}": one if isinstance(one, str) else one[0] for meter, one in errors.items()}
    Console(width=150).print(table)
    summary: dict[str, float | str] = {}
    for meter in said:
        errors_of = _errors(figures, meter)
        summary |= {f"{kind}: {meter}": of(errors_of) if errors_of else "no figure" for kind, of in SUMMARIES.items()}
    missing = f"missing: pip install {' '.join(VERSIONS)} in the environment that {VARIABLE} names"
    return figures | summary | {peer: missing for peer in PEERS if peer not in said}


def _errors(figures: Mapping[str, float | str], meter: str) -> list[float]:
    """Absolute errors of the curves for which the meter has a figure."""
    values = [value for key, value in figures.items() if key.endswith(f": {meter}")]
    return [abs(value) for value in values if isinstance(value, float)]


def _cell(answer: tuple[float, float] | str) -> str:
    if isinstance(answer, str):
        return answer
    off, unknown = answer
    return f"{off:+.2%}" + (f" ({unknown:.0%} unknown)" if unknown > 0.005 else "")


def main() -> None:
    chosen = options(__doc__)
    window_s = 10.0 if chosen.quick else 30.0
    hosts = cases(window_s)
    for times in WARM_UPS:
        said = _said(hosts, times)
        if not any(str(one).startswith(LATE) for told in said.values() for one in told):
            break
    figures = report([case for host in hosts for case in host], said)
    publish("energy_peers", figures, chosen, f"windows of {window_s:g} s, emulated boards, relative error of joules")


def _said(hosts: Sequence[Sequence[Case]], times: int) -> dict[str, list[Spans | str]]:
    """What every meter says of all boards, by meter; ``times`` the usual warm-up."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(len(hosts))]
        started = [_watched(folder, host, times) for folder, host in zip(folders, hosts, strict=True)]
        return {meter: [one for host in started for one in claims(host[meter])] for meter in started[0]}


def _watched(folder: Path, host: Sequence[Case], times: int) -> dict[str, "list[subprocess.Popen[str]]"]:
    folder.mkdir()
    build(folder)
    begins_s = times * (WARM_UP_S if present() else WARM_UP_S / 8) + until_next_s(
        1.0, time.time() + OPENED_S
    )  # the first window at a whole second of UTC
    return watch(play(folder, [case.board for case in host], starts_in_s=begins_s), host)


if __name__ == "__main__":
    main()
