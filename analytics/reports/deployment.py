"""The deployment sheet: what every way to serve the models costs and knows, from the document of figures."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.reports.quantities import UNKNOWN, quantity

Document = Mapping[str, Any]
_COLUMNS: Final = (
    "variant", "easy", "hard", "mix [95 %]", "TTFT p50 / p95", "ITL p50 / p95", "E2E p50 / p95",
    "J/request", "J/token", "J/right", "weights",
)  # fmt: skip
_WORTH: Final = {True: "yes", False: "no", None: "not known"}


def table(document: Document) -> RenderableType:
    """For a terminal."""
    cells = [_cells(row, quantity(row["energy"]["per_request_j"], "J")) for row in document["variants"]]
    tables = [_table(title, [0, *columns], cells) for title, columns in _blocks(document)]
    return Group(*tables, *(Text(line) for line in _notes(document)), Text(_decision(document), style="bold"))


def markdown(document: Document) -> str:
    """For a page; the same figures."""
    asked, allowed = document["asked"], document["deployment"]["quantisation"]
    lines = [
        "# Deployment sheet",
        "",
        f"`tokenjoule evaluate` wrote this page on {document['made_at']} ({document['machine']}): "
        f"{asked['questions']} questions of `{asked['from']}`, {asked['concurrency']} at a time, greedy, "
        f"in {asked['rounds']} rounds.",
        "",
        f"**{_decision(document)}**",
        "",
        *_markdown(_COLUMNS, [_cells(row, _spread(row)) for row in document["variants"]]),
        "",
        *(f"* {note}" for note in _notes(document)),
        "",
        "## Quantisation, drafting and routing: what each buys",
        "",
        f"Worth it: fewer joules per request in every round, and at most {allowed['max_loss']:.1%} of the answers lost "
        f"({allowed['source']}); not known: the rounds do not agree. Only right: questions that only the one or only "
        "the other answered rightly, with McNemar's exact p.",
        "",
        *_markdown(
            (
                "variant",
                "against",
                "exact",
                "only right here / there (p)",
                "J/request",
                "E2E p50",
                "weights",
                "worth it",
            ),
            [_trade_off(row) for row in document["trade_offs"]],
        ),
        "",
    ]
    return "\n".join(lines)


def _blocks(document: Document) -> list[tuple[str, list[int]]]:
    """Titles and columns of tables that fit eighty characters."""
    asked = document["asked"]
    return [
        (f"exact answers to {asked['questions']} questions, joules ({_energy_quality(document)})", [1, 2, 3, 7, 8]),
        (f"latency, {asked['concurrency']} at a time", [4, 5, 6, 10]),
    ]


def _table(title: str, columns: Sequence[int], rows: Sequence[Sequence[str]]) -> Table:
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title=title, title_justify="left")
    for column in columns:
        shown.add_column(_COLUMNS[column], justify="right" if column else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*(row[column] for column in columns))
    return shown


def _cells(row: Mapping[str, Any], per_request: str) -> tuple[str, ...]:
    latency, energy, exact = row["latency"], row["energy"], row["exact"]
    return (
        row["name"],
        *(_share(exact.get(name)) for name in ("easy", "hard")),
        _interval(exact["mix"]),
        *(_pair(latency, name) for name in ("ttft", "itl", "e2e")),
        per_request,
        quantity(energy["per_token_j"], "J"),
        quantity(energy["per_right_j"], "J"),
        _megabytes(row["weight_bytes"]),
    )


def _trade_off(row: Mapping[str, Any]) -> tuple[str, ...]:
    split = f"{row['only_right_here']} / {row['only_right_there']} ({row['p_value']:.2g})"
    return (
        row["variant"], row["against"], _signed(row["exact"], " pp"), split,
        _range(row["joules"], row["joules_by_round"]), _signed(row["e2e_p50"]), _signed(row["bytes"]),
        _WORTH[row["worth_it"]],
    )  # fmt: skip


def _notes(document: Document) -> list[str]:
    notes = [
        f"Joules are {_energy_quality(document)} (source {document['energy_source'] or 'none'}): active energy that "
        "the ledger attributes to the requests, all their attempts included, idle and gateway not.",
        "Times are the client's wall clock, on whatever else the machine did; weights are bytes in memory.",
        _turns(document["asked"]["rounds"]),
    ]
    for row in document["variants"]:
        if row["failed"]:
            notes.append(f"{row['name']}: {row['failed']} requests failed and count as wrong.")
        if uncovered := row["energy"]["uncovered"]:
            priced = row["exact"]["mix"]["asked"] - uncovered
            notes.append(f"{row['name']}: joules are of {priced} requests; the meter has a gap at the others.")
        if tiers := row["answered_by"]["tiers"]:
            shares = ", ".join(f"{tier} {count}" for tier, count in tiers.items())
            notes.append(f"{row['name']}: answered by {shares}; {row['answered_by']['escalated']} after an escalation.")
    notes += [f"{one['name']} was not run: {one['why']}." for one in document["skipped"]]
    return notes


def _turns(rounds: int) -> str:
    if rounds > 1:
        return (
            f"Variants took turns: {rounds} rounds, each with a part of the questions and every other in the opposite "
            "order. In brackets are the lowest and the highest round."
        )
    return (
        "Variants ran one after another, in the order of the table: a change in the machine's other load looks like "
        "theirs, in joules made of CPU time too. On a machine that was not quiet, trust large differences only."
    )


def _decision(document: Document) -> str:
    found = document["verdict"]
    return f"Right-sized: {_WORTH[found['right_sized']]}. {found['reason'][:1].upper()}{found['reason'][1:]}."


def _energy_quality(document: Document) -> str:
    found = {row["energy"]["quality"] for row in document["variants"]} - {None}
    return max(found, default="not known")


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]


def _share(found: Mapping[str, Any] | None) -> str:
    return UNKNOWN if found is None else f"{100 * found['share']:.1f} %"


def _interval(found: Mapping[str, Any]) -> str:
    return f"{100 * found['share']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _pair(latency: Mapping[str, float | None], name: str) -> str:
    values = [latency[f"{name}_{at}_s"] for at in ("p50", "p95")]
    return " / ".join(UNKNOWN if one is None else f"{1000 * one:.3g}" for one in values) + " ms"


def _spread(row: Mapping[str, Any]) -> str:
    """Joules per request, and in brackets the lowest and highest round."""
    known = [one for one in row["per_request_j_by_round"] if one is not None]
    told = quantity(row["energy"]["per_request_j"], "J")
    return f"{told} [{quantity(min(known), 'J')}, {quantity(max(known), 'J')}]" if len(known) > 1 else told


def _range(change: float | None, by_round: Sequence[float]) -> str:
    told = _signed(change)
    return f"{told} [{_signed(min(by_round), '')}, {_signed(max(by_round), '')}]" if len(by_round) > 1 else told


def _signed(change: float | None, unit: str = " %") -> str:
    return UNKNOWN if change is None else f"{100 * change:+.1f}{unit}".replace("-", "−")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
