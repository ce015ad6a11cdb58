"""``tokenjoule ledger``: where one request's joules come from."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenjoule.commands.options import DataDirectory, StoreUrl, store_url

if TYPE_CHECKING:
    from rich.console import Console

    from analytics.explanation import Explanation

ERROR_TERMS = {
    "meter": "the meter",
    "form": "the form of the model",
    "rest": "constants, steps at exports, prompts' steps, company, idle power",
}

app = typer.Typer(help="The energy ledger.", no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """The energy ledger."""


@app.command()
def explain(
    request_id: Annotated[str, typer.Argument(help="Of requests: trace id, a colon, root span id; or a trace id.")],
    url: StoreUrl = None,
    data: DataDirectory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Show how a request's joules came about: intervals, counter, scale, components, rule, errors, grams and money.

    Exits with 1 when the parts do not add up to the row.
    """
    from analytics import explanation
    from store import reading

    with reading.open(store_url(url, data)) as reader:
        found = explanation.explain(reader, request_id)
    if as_json:
        typer.echo(json.dumps(_plain(found), default=str, indent=1))
    else:
        _show(found)
    if not all(check.holds for check in found.checks):
        raise typer.Exit(1)


def _plain(found: "Explanation") -> dict[str, Any]:
    from analytics.explanation import METHODS

    return {
        "request": found.request,
        "joules": found.request["energy_j"],
        "se_j": found.request["energy_se_j"],
        "coverage": found.request["energy_coverage"],
        "components": found.components,
        "methods": {name: {"joules": joules, "why": METHODS.get(name)} for name, joules in found.methods.items()},
        "idle_beside_j": found.idle_beside_j,
        "error_terms": found.error_terms,
        "attempts": found.attempts,
        "parts": [dataclasses.asdict(part) for part in found.parts],
        "models": found.models,
        "checks": [dataclasses.asdict(check) | {"holds": check.holds} for check in found.checks],
    }


def _show(found: "Explanation") -> None:
    import sys

    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    _show_request(console, found)
    if found.parts:
        _show_intervals(console, found)
        _show_components(console, found)
        _show_rules(console, found)
    _show_charges(console, found)
    for check in found.checks:
        sign = "[green]=[/]" if check.holds else "[red]≠ SETTLE AGAIN OR REPORT THIS[/]"
        console.print(f"  {sign} {check.what}: {_number(check.parts)} and {_number(check.whole)}")


def _show_request(console: "Console", found: "Explanation") -> None:
    row = found.request
    outcome = "success" if row["success"] else f"failed ({row['error_type'] or row['finish_reason'] or 'no reason'})"
    tokens = f"{_number(row['input_tokens'])} in ({_number(row['cached_input_tokens'])} cached)"
    console.print(f"[bold]{row['request_id']}[/]  {row['started_at']} UTC  {outcome}")
    console.print(f"{row['model_served'] or row['model_requested'] or '–'} on {row['engine'] or '–'}, tenant"
                  f" {row['tenant'] or '–'}: {tokens}, {_number(row['output_tokens'])} out")  # fmt: skip
    error = "error not stated" if row["energy_se_j"] is None else f"± {_number(row['energy_se_j'])} J"
    if row["energy_j"] is None:
        console.print("[bold]no joules[/]: nothing was metered where it ran (tokenjoule doctor says what is read)")
    else:
        console.print(f"[bold]{_number(row['energy_j'])} J[/] {error} (one standard error), {row['energy_quality']}")
        if found.is_partial:
            console.print(f"[bold]of a part[/]: {row['energy_coverage']:.1%} of the time it ran was metered, and the"
                          " joules and their error are of that time; the rest is not known")  # fmt: skip


def _show_intervals(console: "Console", found: "Explanation") -> None:
    from rich.table import Table

    heads = ("interval", "device", "try", "counter J", "idle J", "engine J", "unclaimed J", "predicted J", "scale",
             "its J", "± J", "of engine", "rule")  # fmt: skip
    table = Table(*heads, title="intervals: its J = scale × constants × its part of the counters", title_justify="left")
    for part in found.parts:
        share = part.joules / part.engine_j if part.engine_j else None
        numbers = (part.counter_j, part.idle_j, part.engine_j, part.unclaimed_j, part.predicted_j, part.scale,
                   part.joules, part.se_j)  # fmt: skip
        cells = (f"{part.started_at:%H:%M:%S}", part.device, str(part.attempt), *map(_number, numbers), _share(share))
        table.add_row(*cells, part.method)
    console.print(table)


def _show_components(console: "Console", found: "Explanation") -> None:
    from rich.table import Table

    from analytics.explanation import COMPONENTS

    whole = sum(found.components.values())
    table = Table("component", "J", "share", "what it is", title="components", title_justify="left")
    for name, joules in found.components.items():
        table.add_row(name, _number(joules), _share(joules / whole if whole else None), COMPONENTS[name])
    table.add_row("all", _number(whole), "", "")
    console.print(table)


def _show_rules(console: "Console", found: "Explanation") -> None:
    from analytics.explanation import METHODS

    for name, joules in found.methods.items():
        console.print(f"rule {name} ({_number(joules)} J): {METHODS.get(name, 'not one of this version')}")
    sources = sorted({f"{part.source} ({part.scope}, {part.quality})" for part in found.parts})
    console.print(f"metered by {', '.join(sources)}")
    for model in found.models:
        console.print(_constants(model))
    if found.error_terms is not None:
        terms = ", ".join(f"{ERROR_TERMS[name]} {_number(joules)} J" for name, joules in found.error_terms.items())
        console.print(f"± is about: {terms} (squares add up in a part; parts err together, so they are added)")


def _constants(model: dict[str, Any]) -> str:
    constants = ", ".join(f"{name} {_number(model[name])}" for name in ("b", "a_p", "a_px", "a_d", "a_c"))
    fitted = f"R² {_number(model['r2'])}, condition {_number(model['condition'])}, {model['intervals']} intervals"
    whose = f"constants [J] stored {model['fitted_at']} for {model['engine']} on {model['device']}"
    return f"{whose}: {constants}; {fitted}, idle {_number(model['idle_w'])} W ({model['idle_basis'] or '–'})"


def _show_charges(console: "Console", found: "Explanation") -> None:
    row = found.request
    console.print(f"idle joules are not in it (policy separate); in proportion to its part they would be"
                  f" {_number(found.idle_beside_j)} J; metrics share them by the policy of \\[idle]")  # fmt: skip
    if row["co2e_g"] is None:
        console.print("no grams: no grid factor is configured (docs/carbon.md)")
    else:
        year = f" {row['grid_year']}" if row["grid_year"] else ""
        basis = f"{row['grid_zone']}, {row['grid_basis']}, {row['grid_source']}{year}"
        factor = f"{_number(row['grid_g_per_kwh'])} g/kWh ({basis}{', estimated' if row['grid_estimated'] else ''})"
        console.print(f"{_number(row['co2e_g'])} g CO2e = J × PUE {_number(row['pue'])} × {factor}")
        console.print(f"embodied beside it: {_number(row['co2e_embodied_g'])} g, by {row['hardware_source'] or '–'}")
    if row["cost"] is None:
        console.print("no cost: no prices are configured (docs/carbon.md)")
    else:
        parts = ", ".join(f"{name} {_number(row['cost_' + name])}" for name in ("energy", "device", "tokens"))
        sources = " and ".join(filter(None, (row["price_source"], row["hardware_source"]))) or "–"
        console.print(f"{_number(row['cost'])} {row['currency']}: {parts}; prices from {sources}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
