"""The weekly page: the headline numbers with the period before, tiers, where the joules went, budgets.

``summary`` answers plain values that JSON can carry; ``render_markdown`` writes them for people.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from analytics import alerting, metric
from analytics.budgets import BudgetStatus, status
from analytics.idling import SEPARATE, Idling
from analytics.metric import Queries, Window
from analytics.reports import footprint, headline, jobs, water
from analytics.reports.quantities import UNKNOWN, count, difference, quantity, share, times
from conventions import settings

PARTS: Final = ("successful", "failed", "job", "idle", "overhead", "unattributed")
TIER_METRICS: Final = ("error_rate", "e2e_p95", "response_cache_hit_rate")


def summary(
    reader: Queries,
    window: Window,
    budgets: Sequence[BudgetStatus] = (),
    idling: Idling = SEPARATE,
    litres: water.Water = water.NONE,
) -> dict[str, Any]:
    """Everything on the page as plain values; ``idling`` says who is charged for idle joules.

    Raises ``StoreError`` when the store cannot be read.
    """
    energy = _energy(reader, window)
    return {
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "requests": _requests(reader, window),
        "numbers": [_plain(number) for number in headline.numbers(reader, window)],
        "energy": energy,
        "estimated": energy["quality"] in ("estimated", "simulated"),
        "by_tier": _by_tier(reader, window, idling),
        "idle": idling.policy,
        "charges": [asdict(one) | {"text": one.text} for one in footprint.charges(reader, window, idling=idling)],
        "water": water.spent(reader, window, litres),
        "jobs": [row | {"started_at": row["started_at"].isoformat()} for row in jobs.listed(reader, window)],
        "budgets": [
            {"name": line.name, "spent": line.spent, "limit": line.limit, "burn": line.burn} for line in budgets
        ],
    }


def text(reader: Queries, start: datetime, end: datetime, config: Path | None = None) -> str:
    """The page of the window [start, end), UTC without a zone, as Markdown, with the budgets of the file ``config``.

    Raises ``StoreError`` when the store cannot be read, ``SettingsError`` when the file cannot be used.
    """
    configured = alerting.load(config)[0] if config else []
    lines = [status(reader, budget, end) for budget in configured]
    idling = settings.section(config, "idle", Idling) if config else SEPARATE
    litres = settings.section(config, "water", water.Water) if config else water.NONE
    return render_markdown(summary(reader, Window(start, end), lines, idling, litres))


def render_markdown(page: dict[str, Any]) -> str:
    """The page as Markdown that also reads well as plain text."""
    parts = [
        f"# Efficiency summary\n\n{_minute(page['window']['start'])} to {_minute(page['window']['end'])} UTC",
        _counted(page["requests"]),
        _quality_note(page),
        _numbers_table(page["numbers"]),
        _energy_table(page["energy"]),
        _charges_table(page["charges"]),
        water.line(page["water"]),
        _tier_table(page["by_tier"], page["idle"]),
        _job_table(page["jobs"]),
        _budget_table(page["budgets"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _requests(reader: Queries, window: Window) -> dict[str, int]:
    row = next(iter(metric.run(reader, "error_rate", window, ()).to_pylist()), {"n": 0, "value": 0.0})
    failed = round(float(row["n"] * row["value"]))
    total = int(row["n"])
    return {"total": total, "ok": total - failed, "failed": failed}


def _plain(number: headline.Number) -> dict[str, Any]:
    return {key: value for key, value in asdict(number).items() if key != "series"}


def _energy(reader: Queries, window: Window) -> dict[str, Any]:
    rows = metric.run(reader, "energy", window, ()).to_pylist()
    joules = {f"{row['part']}_j": row["value"] for row in rows}
    qualities = {row["quality"] for row in rows}
    worst = next((name for name in ("simulated", "estimated", "measured") if name in qualities), None)
    return {
        "total_j": sum(joules.values()) if joules else None,
        **{f"{part}_j": joules.get(f"{part}_j", 0.0 if joules else None) for part in PARTS},
        "quality": worst,
    }


def _by_tier(reader: Queries, window: Window, idling: Idling) -> list[dict[str, Any]]:
    energy = metric.run(reader, "energy_per_successful_token", window, ("tier",), idling=idling).to_pylist()
    tiers = {row["tier"]: _tier(row) for row in energy if row["part"] == "attributed"}
    for name in TIER_METRICS:
        for row in metric.run(reader, name, window, ("tier",)).to_pylist():
            tiers[row["tier"]][name] = row["value"]
    return list(tiers.values())


def _tier(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("tier", "n", "tokens", "joules", "quality")}
    return {**kept, "energy_per_successful_token": row["value"], **dict.fromkeys(TIER_METRICS)}


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _counted(requests: dict[str, int]) -> str:
    return f"{count(requests['total'])} requests, {count(requests['failed'])} failed"


def _quality_note(page: dict[str, Any]) -> str:
    quality = page["energy"]["quality"]
    if quality is None:
        return "No energy data in this period: `tokenjoule doctor` says which probes work here."
    return f"> Energy is **{quality}**, not measured." if page["estimated"] else "Energy is measured."


def _numbers_table(numbers: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{number['title']} ({number['origin']})" if number["origin"] else number["title"],
            quantity(number["value"], number["unit"]),
            quantity(number["previous"], number["unit"]),
            difference(number["value"], number["previous"], number["unit"]),
        )
        for number in numbers
    ]
    return _table(("", "this period", "period before", "change"), rows)


def _energy_table(energy: dict[str, Any]) -> str:
    if not energy["total_j"]:
        return ""
    rows = [
        (part, quantity(energy[f"{part}_j"], "J"), share(energy[f"{part}_j"] / energy["total_j"])) for part in PARTS
    ]
    return "## Where the joules went\n\n" + _table(
        ("", "energy", "share"), [*rows, ("total", quantity(energy["total_j"], "J"), "")]
    )


def _charges_table(found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    rows = [(one["title"], one["text"], one["parts"] or UNKNOWN, one["label"] or UNKNOWN) for one in found]
    return "## Carbon and cost\n\n" + _table(("", "this period", "sums of the period", "factor"), rows)


def _tier_table(tiers: list[dict[str, Any]], idle: str) -> str:
    if not tiers:
        return ""
    rows = [
        (
            tier["tier"] or UNKNOWN,
            count(tier["n"]),
            count(tier["tokens"]),
            quantity(tier["energy_per_successful_token"], "J/{token}"),
            quantity(tier["e2e_p95"], "s"),
            share(tier["response_cache_hit_rate"]),
            share(tier["error_rate"]),
        )
        for tier in tiers
    ]
    energy = "attributed energy" if idle == "separate" else f"energy, idle {idle}"
    head = ("tier", "requests", "tokens", energy, "latency p95", "cache hits", "errors")
    return "## By tier\n\n" + _table(head, rows)


def _job_table(listed: list[dict[str, Any]]) -> str:
    if not listed:
        return ""
    return "## Training and batch jobs\n\n" + _table(jobs.HEAD, jobs.lines(listed))


def _budget_table(budgets: list[dict[str, Any]]) -> str:
    if not budgets:
        return ""
    rows = [(line["name"], count(line["spent"]), count(line["limit"]), times(line["burn"])) for line in budgets]
    return "## Budgets\n\n" + _table(("budget", "spent", "limit", "burn"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    rule = tuple("-" * width for width in widths)
    lines = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in (head, rule, *rows))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
