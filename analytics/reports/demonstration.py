"""The demo's figures, read from the store: what a run's requests cost, and that every joule is accounted for."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.reports.quantities import quantity
from store.reading import Reader

REQUESTS = """
    SELECT count(*) AS total, count(*) FILTER (WHERE success) AS ok,
           sum(output_tokens) FILTER (WHERE success) AS output_tokens,
           sum(cost_tokens) AS cost_tokens,
           sum(energy_j) AS attributed_j, sum(energy_j) FILTER (WHERE success) AS attributed_ok_j,
           count(*) FILTER (WHERE cache_result = 'exact') AS cache_hits,
           count(*) FILTER (WHERE cache_result IS NOT NULL) AS cacheable,
           quantile_cont(ttft_s, 0.5) FILTER (WHERE first_token_origin = 'engine') AS engine_ttft_p50_s,
           quantile_cont(ttft_s, 0.95) FILTER (WHERE first_token_origin = 'engine') AS engine_ttft_p95_s,
           quantile_cont(e2e_s, 0.95) AS e2e_p95_s, avg(quality_score) AS exact_match,
           min(started_at) AS started_at, max(ended_at) AS ended_at
    FROM requests WHERE run_id = $run_id
"""
BY_TIER = """
    SELECT coalesce(tier, 'response cache') AS tier, count(*) AS requests, count(*) FILTER (WHERE success) AS ok,
           sum(output_tokens) FILTER (WHERE success) AS output_tokens,
           sum(energy_j) FILTER (WHERE success) / sum(output_tokens) FILTER (WHERE success) AS active_j_per_token,
           avg(quality_score) AS exact_match
    FROM requests WHERE run_id = $run_id GROUP BY ALL ORDER BY 1
"""
ENERGY = """
    SELECT sum(total_j) AS total_j, sum(attributed_j) AS attributed_j, sum(idle_j) AS idle_j,
           sum(unattributed_j) AS unattributed_j,
           sum(unattributed_j) FILTER (WHERE unattributed_reason = 'overhead') AS overhead_j,
           sum(unattributed_j) FILTER (WHERE engine IS NOT NULL)
               / nullif(sum(total_j) FILTER (WHERE engine IS NOT NULL), 0) AS engine_unattributed_share,
           worst_quality(quality) AS quality, string_agg(DISTINCT source, ', ') AS source,
           string_agg(DISTINCT method, ', ') FILTER (WHERE engine IS NOT NULL) AS method,
           sum(co2e_g) AS co2e_g, sum(co2e_embodied_g) AS co2e_embodied_g, sum(cost_energy) AS cost_energy,
           sum(cost_device) AS cost_device, string_agg(DISTINCT currency, ', ') AS currency,
           string_agg(DISTINCT concat_ws(' ', grid_zone, grid_year, grid_source), '; ')
               FILTER (WHERE grid_zone IS NOT NULL) AS factor,
           string_agg(DISTINCT grid_basis, ', ') AS basis, max(grid_g_per_kwh) AS g_per_kwh,
           bool_or(grid_estimated) AS factor_estimated, any_value(price_source) AS price_source,
           min(started_at) AS started_at, max(ended_at) AS ended_at
    FROM energy_intervals
    WHERE started_at < CAST($ended_at AS TIMESTAMP) AND ended_at > CAST($started_at AS TIMESTAMP)
"""


def figures(reader: Reader, run_id: str) -> dict[str, Any]:
    """Requests of the run, the energy balance from its first request to its last, and the five numbers.

    Raises ``StoreError`` when the store cannot be read.
    """
    requests = reader.query(REQUESTS, {"run_id": run_id}).to_pylist()[0]
    window = {"started_at": requests["started_at"], "ended_at": requests["ended_at"]}
    energy = reader.query(ENERGY, window).to_pylist()[0]
    return {
        "requests": requests,
        "energy": {**energy, "balance_error": _balance_error(energy)},
        "by_tier": reader.query(BY_TIER, {"run_id": run_id}).to_pylist(),
        "numbers": _numbers(requests, energy),
        "charges": _charges(requests, energy),
    }


def _numbers(requests: Mapping[str, Any], energy: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        "energy_per_successful_token_j": _ratio(energy["total_j"], requests["output_tokens"]),
        "active_energy_per_successful_token_j": _ratio(requests["attributed_ok_j"], requests["output_tokens"]),
        "engine_ttft_p95_s": requests["engine_ttft_p95_s"],
        "e2e_p95_s": requests["e2e_p95_s"],
        "response_cache_hit_rate": _ratio(requests["cache_hits"], requests["cacheable"]),
    }


def _charges(requests: Mapping[str, Any], energy: Mapping[str, Any]) -> dict[str, Any]:
    """Grams and money from the first request to the last, all joules in them, per successful token and request."""
    tokens = requests["output_tokens"]
    grams = energy["co2e_g"]
    sci = None if grams is None or energy["co2e_embodied_g"] is None else grams + energy["co2e_embodied_g"]
    parts = [
        part for part in (energy["cost_energy"], energy["cost_device"], requests["cost_tokens"]) if part is not None
    ]
    cost = sum(parts) if parts else None
    return {
        "co2e_g": grams,
        "co2e_g_per_1k_tokens": _ratio(grams, tokens / 1000 if tokens else None),
        "sci_g_per_token": _ratio(sci, tokens),
        "cost": cost,
        "cost_per_request": _ratio(cost, requests["total"]),
        "cost_per_million_tokens": _ratio(cost, tokens / 1e6 if tokens else None),
        "currency": energy["currency"],
        "factor": energy["factor"],
        "basis": energy["basis"],
        "g_per_kwh": energy["g_per_kwh"],
        "price_source": energy["price_source"],
        "estimated": bool(energy["factor_estimated"]) or energy["quality"] in ("estimated", "simulated"),
    }


def _balance_error(energy: Mapping[str, Any]) -> float | None:
    """|attributed + idle + unattributed − total| ÷ total; None without energy data."""
    if not energy["total_j"]:
        return None
    parts = energy["attributed_j"] + energy["idle_j"] + energy["unattributed_j"]
    return float(abs(parts - energy["total_j"]) / energy["total_j"])


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def render(result: Mapping[str, Any]) -> RenderableType:
    """Small tables: the numbers, the energy balance, carbon and cost, the tiers."""
    quality = str(result["energy"]["quality"] or "no energy data")
    return Group(
        _numbers_table(result, quality),
        _balance_table(result["energy"], quality),
        _charges_table(result["charges"], result["energy"]),
        _tier_table(result),
    )


def _numbers_table(result: Mapping[str, Any], quality: str) -> Table:
    numbers, requests = result["numbers"], result["requests"]
    table = Table(title="what a successful token costs", title_justify="left", show_header=False)
    table.add_row(
        "energy per successful token",
        f"{_joules(numbers['energy_per_successful_token_j'])}  [{quality}]".replace("[", "\\["),
    )
    table.add_row("… of it active", _joules(numbers["active_energy_per_successful_token_j"]))
    table.add_row("TTFT p95 (engine)", _seconds(numbers["engine_ttft_p95_s"]))
    table.add_row("latency p95 (E2E)", _seconds(numbers["e2e_p95_s"]))
    table.add_row("response-cache hit rate", _share(numbers["response_cache_hit_rate"]))
    table.add_row(
        "requests ok / counted / sent", f"{requests['ok']} / {requests['total']} / {result['client'].get('sent', '?')}"
    )
    table.add_row("exact answers", _share(requests["exact_match"]))
    return table


def _balance_table(energy: Mapping[str, Any], quality: str) -> Table | Text:
    total = energy["total_j"]
    if not total:
        return Text("no energy data: `tokenjoule doctor` says which probes work here")
    table = Table(
        title=f"energy balance ({quality}, source {energy['source']})", title_justify="left", show_header=False
    )
    for name in ("attributed", "idle", "unattributed"):
        table.add_row(name, f"{energy[f'{name}_j']:.1f} J", _share(energy[f"{name}_j"] / total))
    table.add_row(
        "… of it other processes",
        f"{energy['overhead_j'] or 0:.1f} J",
        _share((energy["overhead_j"] or 0) / total),
    )
    table.add_row("total (counter)", f"{total:.1f} J", f"off by {energy['balance_error']:.1e}")
    table.add_row("engine energy unattributed", "", _share(energy["engine_unattributed_share"]))
    return table


def _charges_table(charges: Mapping[str, Any], energy: Mapping[str, Any]) -> Table | Text:
    if charges["co2e_g"] is None and charges["cost"] is None:
        return Text("no carbon and no cost: set [collector.grid] and [collector.prices], see docs/carbon.md")
    marked = "estimated" if charges["estimated"] else "measured"
    money, label = charges["currency"] or "?", f"  \\[{marked}]"
    table = Table(title="carbon and cost, every joule in them", title_justify="left", show_header=False)
    table.caption, table.caption_justify = _assumed(charges), "left"
    table.add_row("CO2e per 1000 successful tokens", quantity(charges["co2e_g_per_1k_tokens"], "g") + label)
    table.add_row("SCI per token (embodied too)", quantity(charges["sci_g_per_token"], "g/{token}") + label)
    table.add_row("cost per request", quantity(charges["cost_per_request"], money) + label)
    table.add_row("cost per million tokens", quantity(charges["cost_per_million_tokens"], money) + label)
    for name, words in (("cost_energy", "energy"), ("cost_device", "device time")):
        table.add_row(f"… of it {words}", _share(_ratio(energy[name], charges["cost"])))
    return table


def _assumed(charges: Mapping[str, Any]) -> str:
    factor = f"{quantity(charges['g_per_kwh'], 'g/kW.h')} ({charges['basis']}), {charges['factor']}"
    return f"factor: {factor}; prices: {charges['price_source']}"


def _tier_table(result: Mapping[str, Any]) -> Table:
    table = Table(
        "tier", "requests", "ok", "output tokens", "active J/token", "exact", title="by tier", title_justify="left"
    )
    for row in result["by_tier"]:
        cells = (row["tier"], row["requests"], row["ok"], row["output_tokens"])
        table.add_row(*(str(cell) for cell in cells), _joules(row["active_j_per_token"]), _share(row["exact_match"]))
    return table


def _joules(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f} J" if value >= 1 else f"{value * 1000:.2f} mJ"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value * 1000:.1f} ms"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
