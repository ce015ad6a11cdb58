"""``tokenjoule evaluate``: the variants put on in turn, round by round, asked every question, and priced by the ledger.

One collector throughout; engines of their own names per variant, so that the ledger keeps them apart. A variant is
stopped between its rounds: no two share the machine, and however many there are, one fits.
"""

import dataclasses
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import tomli_w
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.reports import traces
from conventions import confidence, settings
from conventions.errors import SettingsError
from store import reading
from tokenjoule import stack
from tokenjoule.configuration import free_port
from tokenjoule.demo import settle
from training.evaluation import asking, calibration, rounds, scores, variant, verdict
from training.evaluation.asking import Answer, Server
from training.evaluation.questions import Question
from training.evaluation.variant import Variant

SERVING: Final = frozenset({"engine", "gateway"})
METER_WITHIN_S: Final = 15.0
SAMPLE_EVERY_S: Final = 2.0  # the ledger bears 2.5 of these without a sample: on a busy machine 1 s left gaps


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of whom. ``deployment`` is a file in place of the shipped goal."""

    config: Path
    models: Path
    questions: Sequence[Question]
    source: str
    directory: Path
    variants: Sequence[str] = ()
    concurrency: int = 1
    rounds: int = 4
    deployment: Path | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """One variant that can run, with a port for each of its processes."""

    name: str
    variant: Variant
    ports: dict[str, int] = field(default_factory=dict)
    gateway_port: int = 0

    def engine_name(self, model: str) -> str:
        """The engine's name for the ledger: no two variants share one."""
        return f"{self.name}-{model}"


def run(plan: Plan, console: Console) -> dict[str, Any]:
    """Ask every variant everything; the document that the sheet and ``--json`` are made of."""
    seats, skipped = _seats(plan)
    deployment = verdict.load(plan.deployment)
    with collecting(plan, seats) as collector, progress_on(console) as progress:
        found = _ask_in_rounds(plan, seats, collector, progress)
        settle(collector)
        spent, source = prices(collector, [one for own in found.values() for part in own for one in part])
    answers = {name: rounds.joined(own) for name, own in found.items()}
    rows = [_row(seat, plan, found[seat.name], spent) for seat in seats]
    return {
        "made_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "asked": {
            "from": plan.source,
            "questions": len(plan.questions),
            "concurrency": plan.concurrency,
            "rounds": len(next(iter(found.values()))),
        },
        "energy_source": source,
        "deployment": dataclasses.asdict(deployment),
        "variants": rows,
        "skipped": skipped,
        "trade_offs": _trade_offs(seats, rows, answers, deployment),
        "verdict": verdict.judge(rows, deployment),
    }


def _ask_in_rounds(
    plan: Plan, seats: Sequence[Seat], collector: str, progress: Progress
) -> dict[str, list[list[Answer]]]:
    """The answers by variant and round."""
    parts = rounds.parts(plan.questions, plan.rounds)
    bars = {seat.name: progress.add_task(seat.name, total=len(plan.questions)) for seat in seats}
    answers: dict[str, list[list[Answer]]] = {seat.name: [] for seat in seats}
    for at, questions in enumerate(parts):
        for seat in rounds.order(seats, at, len(parts)):
            with serving(seat, plan.models, plan.directory / f"round-{at + 1}", collector) as server:
                told = partial(progress.advance, bars[seat.name])
                answers[seat.name].append(asking.ask(server, questions, plan.concurrency, told))
    return answers


@contextmanager
def collecting(plan: Plan, seats: Sequence[Seat]) -> Iterator[str]:
    """A collector that knows every engine's port; yields its address."""
    own = settings.read(plan.config).get("collector")
    if own is None:
        raise SettingsError(f"{plan.config}: no section [collector]; joules and requests meet there")
    processes = [
        {"engine": seat.engine_name(model), "port": port} for seat in seats for model, port in seat.ports.items()
    ]
    sampler = {**own.get("sampler", {}), "interval_s": SAMPLE_EVERY_S}
    values = {
        **own,
        "sampler": sampler,
        "data": str(plan.directory / "data"),
        "host": "127.0.0.1",
        "port": free_port(),
        "processes": processes,
    }
    config = _written(plan.directory / "collector.toml", {"collector": values})
    with stack.Stack(plan.directory / "logs") as running:
        yield running.start(stack.specs(config))["collector"]


@contextmanager
def serving(seat: Seat, models: Path, directory: Path, collector: str | None = None) -> Iterator[Server]:
    """The variant's engines, and its gateway if it has one; leaving it stops them, which flushes their telemetry.

    With a collector both ends wait until it has read the engines' CPU time: work before the first reading and after the
    last one has no price. The first reading comes a little into an interval of the ledger; the second begins one.
    """
    config = _written(directory / f"{seat.name}.toml", {"serving": _serving(seat, models, collector)})
    with stack.Stack(directory / "logs" / seat.name) as running:
        urls = running.start_in_order(stack.specs(config, only=SERVING))
        last = urls.get("gateway") or next(iter(urls.values()))
        if collector:
            _await_meter(seat, collector)
            _await_meter(seat, collector)
        yield Server(last, seat.variant.model)
        if collector:
            _await_meter(seat, collector)


def _await_meter(seat: Seat, collector: str) -> None:
    """Until CPU time was read once from now, or for ``METER_WITHIN_S``: on a GPU nobody reads it."""
    engines, since_ns = [seat.engine_name(model) for model in seat.ports], time.time_ns()
    deadline = time.monotonic() + METER_WITHIN_S
    with reading.open(collector) as reader:
        while not traces.are_metered(reader, engines, since_ns) and time.monotonic() < deadline:
            time.sleep(0.25)


def prices(collector: str, answers: Sequence[Answer]) -> tuple[dict[str, scores.Spent], str | None]:
    """What the ledger says of each answer, by trace id, and where its joules come from."""
    with reading.open(collector) as reader:
        found = traces.by_trace(reader, [answer.trace_id for answer in answers])
        return {trace: scores.Spent(**row) for trace, row in found.items()}, traces.energy_sources(reader)


def _seats(plan: Plan) -> tuple[list[Seat], list[dict[str, str]]]:
    """The variants that can run here, and why the others cannot. Raises ``SettingsError`` when none can."""
    seats, skipped = [], []
    for name in plan.variants or variant.names():
        found = variant.load(name)
        if why := found.missing(plan.models) or _stale(found, plan.models):
            skipped.append({"name": name, "why": why})
        else:
            seats.append(seat(Path(name).stem, found))
    if not seats:
        raise SettingsError(f"no variant can run: {'; '.join(one['why'] for one in skipped)}")
    return seats, skipped


def _stale(found: Variant, models: Path) -> str | None:
    """A calibration of other weights would judge answers that it knows nothing of."""
    calibrations = [models / name for name in found.needs if Path(name).name == confidence.FILE]
    return next((why for path in calibrations if (why := calibration.stale(path))), None)


def seat(name: str, found: Variant) -> Seat:
    """Free ports for a variant's processes."""
    return Seat(name, found, {model: free_port() for model in found.engines}, free_port())


def _serving(seat: Seat, models: Path, collector: str | None) -> dict[str, Any]:
    common = {"host": "127.0.0.1", **({"otlp_endpoint": collector} if collector else {})}
    engines = {
        seat.engine_name(model): {**given, **common, "port": seat.ports[model], "served_model": model}
        for model, given in seat.variant.engine_settings(models).items()
    }
    if not seat.variant.gateway:
        return {"engines": engines}
    backends = [
        {"name": seat.engine_name(model), "url": f"http://127.0.0.1:{port}", "model": model, "tier": model}
        for model, port in seat.ports.items()
    ]
    gateway = {**seat.variant.gateway_settings(models), **common, "port": seat.gateway_port, "backends": backends}
    return {"engines": engines, "gateway": gateway}


def _row(
    seat: Seat, plan: Plan, by_round: Sequence[Sequence[Answer]], spent: Mapping[str, scores.Spent]
) -> dict[str, Any]:
    """One variant's figures."""
    answers = rounds.joined(by_round)
    return {
        "name": seat.name,
        "title": seat.variant.title,
        "models": list(seat.variant.engines),
        "failed": sum(answer.error is not None for answer in answers),
        "exact": {name: dataclasses.asdict(found) for name, found in scores.quality(answers).items()},
        "latency": scores.latency(answers),
        "energy": scores.energy(answers, spent),
        "per_request_j_by_round": [scores.energy(own, spent)["per_request_j"] for own in by_round],
        "answered_by": scores.answered_by(answers, spent),
        "weight_bytes": seat.variant.weight_bytes(plan.models),
        "file_bytes": sum(variant.file_bytes(plan.models / model) for model in seat.variant.engines),
    }


def _trade_offs(
    seats: Sequence[Seat],
    rows: Sequence[Mapping[str, Any]],
    answers: Mapping[str, Sequence[Answer]],
    deployment: verdict.Deployment,
) -> list[dict[str, Any]]:
    by_name = {row["name"]: row for row in rows}
    pairs = [(one.name, one.variant.against) for one in seats if one.variant.against in by_name]
    return [
        verdict.trade_off(
            by_name[name],
            by_name[against],
            scores.disagreement(answers[name], answers[against]),
            deployment.quantisation,
        )
        for name, against in pairs
        if against is not None
    ]


def _written(path: Path, values: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return path


def progress_on(console: Console) -> Progress:
    """A bar per variant."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)
