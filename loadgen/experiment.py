"""The small suite: the same schedule against every arm, in an order that cancels drift, and one table at the end.

Each run is a process of its own (``python -m loadgen run``), so the caller stays unpatched. Inside a block all arms
get the same seed, hence the same requests at the same times; blocks alternate forwards and backwards (ABBA).
It compares, it does not judge: whether a difference is real needs more pairs than one and an interval over them.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

from rich.markup import escape
from rich.table import Table

from conventions.errors import UpstreamError
from loadgen.summary import RunResult
from loadgen.tables import milliseconds, share

_SWITCH_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One variant: its name, the server that runs it, and a URL to POST to when it must be switched on first."""

    name: str
    target: str
    switch_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What every arm gets: a scenario, its flags (``{"rate": 4, "max_input": 200}``) and the collector."""

    scenario: str
    values: Mapping[str, Any] = field(default_factory=dict)
    collector: str = "none"
    response_cache: bool = False  # an arm on a gateway that an earlier arm has filled answers from its cache


def run_suite(
    arms: Sequence[Arm], load: Load, blocks: int, prefix: str, prepare: Callable[[Arm], None] | None = None
) -> list[RunResult]:
    """Every arm once per block; ``prepare`` may start the arm's servers. Run ids are ``prefix-block-arm``.

    Raises ``UpstreamError`` as ``run_arm`` does.
    """
    results: list[RunResult] = []
    for block, arm in order(arms, blocks):
        if prepare is not None:
            prepare(arm)
        seeded = replace(load, values=with_seed(load.values, block))
        results.append(run_arm(arm, seeded, f"{prefix}-{block}-{arm.name}"))
    return results


def order(arms: Sequence[Arm], blocks: int) -> Iterator[tuple[int, Arm]]:
    """``(block, arm)``: A B, B A, A B …, so that a slow drift of the machine falls on both alike."""
    for block in range(blocks):
        for arm in arms if block % 2 == 0 else reversed(arms):
            yield block, arm


def with_seed(values: Mapping[str, Any], block: int) -> dict[str, Any]:
    """The flags with the block's own seed: equal within a block, different between blocks."""
    return {**values, "seed": int(values.get("seed", 1)) + block}


def run_arm(arm: Arm, load: Load, run_id: str) -> RunResult:
    """Switch ``arm`` on if it asks for it, run the load against it, and return what it showed.

    Raises ``UpstreamError`` with the load process's own words when it could not run. A run in which every request
    failed is a result, not an error.
    """
    if arm.switch_url is not None:
        _switch(arm.switch_url)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [*_command(arm, load, run_id), "--json", str(path)]
        finished = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if not path.exists():
            raise UpstreamError(f"run {run_id} against {arm.target} did not begin: {finished.stderr.strip()}")
        return RunResult.from_json(path.read_text(encoding="utf-8"))


def table(results: Sequence[RunResult]) -> Table:
    """One row per arm in order of appearance: the median over its runs, and the range where there are several."""
    shown = Table(title="comparison of arms", caption=_caution(results))
    shown.caption_justify = "left"
    for name in ("arm", "runs", "TTFT p95", "E2E p95", "TPOT p50", "output tokens/s", "ok / sent", "exact match"):
        shown.add_column(name, justify="left" if name == "arm" else "right")
    for name, runs in by_arm(results).items():
        shown.add_row(escape(name), str(len(runs)), *_cells(runs))
    return shown


def by_arm(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Runs under the name of their arm."""
    grouped: dict[str, list[RunResult]] = {}
    for result in results:
        grouped.setdefault(result.arm or result.target, []).append(result)
    return grouped


def _command(arm: Arm, load: Load, run_id: str) -> list[str]:
    fixed = {"target": arm.target, "arm": arm.name, "run_id": run_id, "collector": load.collector}
    flags = {"response_cache": load.response_cache, **load.values, **fixed}
    return [
        sys.executable,
        "-m",
        "loadgen",
        "run",
        load.scenario,
        *(part for item in flags.items() for part in _flag(*item)),
    ]


def _flag(key: str, value: Any) -> list[str]:
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if value is None:
        return []
    return [f"--{name}", ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]


def _switch(url: str) -> None:
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_SWITCH_TIMEOUT_S)
    try:
        connection.request("POST", address.path or "/")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise UpstreamError(f"cannot switch through {url}: {error}") from None
    finally:
        connection.close()
    if status >= 300:
        raise UpstreamError(f"cannot switch through {url}: it answered {status}")


def _cells(runs: Sequence[RunResult]) -> tuple[str, ...]:
    scored, correct = sum(run.scored for run in runs), sum(run.correct for run in runs)
    return (
        _ranged([run.ttft_scheduled_s.p95 for run in runs], milliseconds),
        _ranged([run.e2e_scheduled_s.p95 for run in runs], milliseconds),
        _ranged([run.tpot_s.p50 for run in runs], milliseconds),
        _ranged([run.output_tokens_per_s for run in runs], lambda value: "–" if value is None else f"{value:,.1f}"),
        f"{sum(run.ok for run in runs):,} / {sum(run.sent for run in runs):,}",
        share(correct / scored if scored else None),
    )


def _ranged(values: Sequence[float | None], shown: Callable[[float | None], str]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if len(known) == 1:
        return shown(known[0])
    return f"{shown(median(known))} ({shown(min(known))} … {shown(max(known))})"


def _caution(results: Sequence[RunResult]) -> str:
    fewest = min((len(runs) for runs in by_arm(results).values()), default=0)
    basis = "Latencies from schedule; median (lowest … highest) over the runs of an arm."
    if fewest < 2:
        return f"{basis}\nOne run per arm: a single pair proves nothing, whatever the difference."
    return f"{basis}\n{fewest} runs per arm, paired by seed: look at the ranges before believing a difference."
