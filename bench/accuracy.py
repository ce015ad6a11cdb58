"""How far off are joules per request? ``python -m bench.accuracy [--quick] [--traces FOLDER] [--json PATH]``.

Ground truth is a discrete simulation with known constants (``analytics.ledger.simulation``): 5 % noise on each 100 ms
refresh of the counter, 25 of 100 ms looked at, clocks up to 50 ms apart. Ours with counters and from spans alone,
against five rules of others, by mean batch; then truths that are not affine. Spans alone means that the engine's
counters are not given, so that nothing falls back to them. ``--traces`` names a folder with the Azure and Mooncake
traces (``*.csv``, ``*.jsonl``), whose lengths and bursts are used beside a lognormal chat load.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import Floats, LedgerInputs, LedgerResult, LedgerSettings
from analytics.ledger.simulation import Simulated, Truth, simulate
from bench.result import Options, publish
from bench.truths import rivals
from bench.truths.catalogue import BOARD, FOREIGN, H100_8B, NO_SPANS
from bench.truths.loads import Lengths, chat, load_for, recorded
from bench.truths.scores import Errors, per_request, scored

BATCHES: Final = (1, 2, 8, 24, 64, 128, 256)
SEEDS: Final = {1: 12}
"""Runs of a batch at which few requests come: one run's median is then as much chance as rule."""
LARGEST_SKEW_S: Final = 0.05
UNSEEN: Final = "requests without spans"
OURS: Final = ("counters_affine", "spans_affine")
RULES: Final = ("total_tokens", "output_tokens", "time_overlap")
OTHERS: Final[dict[str, Callable[[Simulated, LedgerResult], Floats]]] = {
    "run_average": rivals.run_average,
    "window_share": rivals.window_share,
}
RIVALS: Final = (*RULES, *OTHERS)


@dataclass(frozen=True, slots=True)
class Row:
    """One simulated run: what was true, the batch that was asked for and the one that came about, scores by rule."""

    truth: str
    batch: float
    mean_batch: float
    requests: int
    scores: dict[str, Errors]

    @property
    def best_rival(self) -> float:
        """The smallest median error among the rivals."""
        return min(self.scores[name].median for name in RIVALS if name in self.scores)


def main() -> None:
    """Simulate, attribute, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller scale, within a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--traces", type=Path, help="a folder with recorded traces")
    chosen = parser.parse_args()
    seconds = 300.0 if chosen.quick else 900.0
    batches, seeds = ((1, 8, 24, 64), {1: 3}) if chosen.quick else (BATCHES, SEEDS)
    affine = list(_affine(seconds, _sources(chosen.traces), batches, seeds))
    foreign = list(_foreign(seconds, (8,) if chosen.quick else (2, 8, 24, 128)))
    _show("affine truth", [_median(rows) for rows in _by_load(affine)], (*OURS, *RIVALS))
    _show("other truths", foreign, OURS)
    sources = ", ".join(sorted({row.truth for row in affine}))
    note = f"{seconds:.0f} s of load per run; {sources}; 5 % noise per 100 ms, a quarter sampled, skew to 50 ms; "
    note += ", ".join(f"batch {batch}: {runs} seeds, medians over them" for batch, runs in seeds.items())
    publish("accuracy", _figures(affine, foreign), Options(chosen.quick, chosen.json), note)


def _sources(traces: Path | None) -> list[Callable[[int], Lengths]]:
    """Loads by seed: a chat, and what lies in the folder."""
    paths = sorted(path for path in traces.iterdir() if path.suffix in {".csv", ".jsonl"}) if traces else []
    named = [lambda seed, path=path: recorded(path, 60_000, seed) for path in paths]  # type: ignore[misc]
    return [lambda seed: chat(60_000, seed), *named]


def _affine(
    seconds: float, sources: list[Callable[[int], Lengths]], batches: tuple[int, ...], seeds: Mapping[int, int]
) -> Iterator[Row]:
    for source in sources:
        for first, batch in enumerate(batches):
            for seed in range(first, first + seeds.get(batch, 1)):
                lengths = source(seed)
                yield _row(lengths.source, batch, seconds, H100_8B, lengths, seed, RIVALS)


def _by_load(rows: list[Row]) -> list[list[Row]]:
    """The runs of one load and batch together."""
    keys = dict.fromkeys((row.truth, row.batch) for row in rows)
    return [[row for row in rows if (row.truth, row.batch) == key] for key in keys]


def _median(rows: list[Row]) -> Row:
    """Each figure's median over runs."""
    scores = {}
    for rule in rows[0].scores:
        every = [astuple(row.scores[rule]) for row in rows]
        scores[rule] = Errors(*(float(value) for value in np.median(every, axis=0)))
    batch, requests = (float(np.median([getattr(row, name) for row in rows])) for name in ("mean_batch", "requests"))
    return Row(rows[0].truth, rows[0].batch, batch, round(requests), scores)


def _foreign(seconds: float, batches: tuple[int, ...]) -> Iterator[Row]:
    for seed, batch in enumerate(batches):
        lengths = chat(60_000, seed)
        for name, truth in FOREIGN.items():
            yield _row(name, batch, seconds, truth, lengths, seed, ())
        yield _row(UNSEEN, batch, seconds, H100_8B, lengths, seed, (), missing=NO_SPANS)


def _row(
    name: str, batch: float, seconds: float, truth: Truth, lengths: Lengths, seed: int, others: tuple[str, ...],
    missing: float = 0.0,
) -> Row:  # fmt: skip
    random = np.random.default_rng(seed)
    meters = replace(BOARD, skew_s=float(random.uniform(-LARGEST_SKEW_S, LARGEST_SKEW_S)))
    occupancy = batch if batch > 1 else 0.3  # by time; over steps that is a mean batch of about 1.1
    simulated = simulate(load_for(occupancy, seconds, lengths, truth), truth, meters, seed=seed)
    seen = random.uniform(size=len(simulated.true_j)) >= missing
    scores = {rule: _scores(simulated, rule, seen) for rule in (*OURS, *(rule for rule in RULES if rule in others))}
    whole = _attributed(simulated, OURS[0], seen)
    scores |= {one: scored(OTHERS[one](simulated, whole), simulated.true_j) for one in OTHERS if one in others}
    return Row(name, batch, simulated.mean_batch, int(seen.sum()), scores)


def _attributed(simulated: Simulated, rule: str, seen: Floats) -> LedgerResult:
    attempts, points = simulated.attempts.filter(pa.array(seen)), simulated.points
    if rule == OURS[1]:
        points = points.filter(pc.is_null(points["engine"]))
    return attribute(LedgerInputs(points, attempts, simulated.window_ns, settings=LedgerSettings(rule=rule)))


def _scores(simulated: Simulated, rule: str, seen: Floats) -> Errors:
    result = _attributed(simulated, rule, seen)
    joules, errors = per_request(result.attempt_energy, len(simulated.true_j))
    return scored(joules[seen], simulated.true_j[seen], errors[seen])


def _figures(affine: list[Row], foreign: list[Row]) -> dict[str, float | str | None]:
    ours = [row.scores[OURS[0]] for row in affine]
    spans = [row.scores[OURS[1]] for row in affine]
    unseen = [row.scores[OURS[1]] for row in foreign if row.truth == UNSEEN]
    every = [row.scores[rule] for row in (*affine, *foreign) for rule in OURS]
    at_8 = [row for row in affine if row.batch == 8]
    from_24 = [row for row in affine if row.batch >= 24]
    to_32 = [
        [row.scores[OURS[1]].median / row.best_rival for row in rows]
        for rows in _by_load(affine)
        if rows[0].batch <= 32
    ]
    return {
        "median_error": max(one.median for one in ours),
        "p95_error": max(one.p95 for one in ours),
        "spans_median_error": max(one.median for one in spans),
        "best_rival_median_error": max(row.best_rival for row in affine),
        "times_better_at_8": min(row.best_rival / row.scores[OURS[0]].median for row in at_8),
        "times_better_from_24": min(row.best_rival / row.scores[OURS[0]].median for row in from_24),
        "spans_to_rival_to_32": max(float(np.median(ratios)) for ratios in to_32),
        "spans_to_rival_to_32_worst_seed": max(max(ratios) for ratios in to_32),
        "bias": max((one.bias for one in (*ours, *spans)), key=abs),
        "coverage": float(np.nanmin([one.coverage for one in every])),
        "coverage_spans_only_and_spans_missing": float(np.nanmin([one.coverage for one in unseen])),
        "foreign_median_error": max(row.scores[OURS[0]].median for row in foreign),
    }


def _show(title: str, rows: list[Row], rules: tuple[str, ...]) -> None:
    """Median / p95 in percent by run and rule; for ours the coverage of the stated errors in brackets."""
    table = Table("truth or load", "batch", "requests", *rules, title=f"{title}: median / p95 %", title_justify="left")
    for row in rows:
        cells = [_cell(row.scores[rule], rule) for rule in rules]
        table.add_row(row.truth, f"{row.mean_batch:.1f}", f"{row.requests:,}", *cells)
    Console(width=180).print(table)


def _cell(errors: Errors, rule: str) -> str:
    share = "–" if np.isnan(errors.coverage) else f"{errors.coverage * 100:.0f}"
    covered = f" [{share}]" if rule in OURS else ""
    return f"{errors.median * 100:.1f} / {errors.p95 * 100:.0f}".replace("[", "\\[") + covered.replace("[", "\\[")


if __name__ == "__main__":
    main()
