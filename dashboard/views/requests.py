"""Single requests, newest first: what each one cost, how long it took and how it ended."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from analytics.ledger.coverage import WHOLLY
from analytics.reports.quantities import UNKNOWN, quantity
from dashboard import data, page
from dashboard.selection import Selection

TITLE = "Requests"
ICON = ":material/list_alt:"
ORDER = 30

LIMIT: Final = 500
STATUSES: Final = {"All": None, "Succeeded": True, "Failed": False}
SHOWN: Final = (
    "status", "started_at", "tenant", "tier", "model", "tokens", "ttft_ms", "e2e_ms", "cache", "energy", "co2e",
    "cost_text", "quality",
)  # fmt: skip
DETAILS: Final = (
    "request_id", "user_id", "operation", "engine", "finish_reason", "error_type", "route_policy", "route_reason",
    "escalated_from", "run_id", "success_basis",
)  # fmt: skip
ATTEMPT: Final[dict[str, Any]] = {
    "attempt": "Attempt",
    "outcome": "Outcome",
    "engine": "Engine",
    "model": "Model",
    "output_tokens": "Tokens out",
    "energy": "Energy ± s.e.",
    "error_type": "Error",
}


def body(selection: Selection) -> None:
    """The table, and below it the request that is selected."""
    chosen = st.segmented_control(
        "Outcome", list(STATUSES), default="All", required=True, key="status", label_visibility="collapsed",
        bind="query-params",
    )  # fmt: skip
    wanted = STATUSES[str(chosen)]
    found = data.requests(data.address(), selection.window(), selection.filters, wanted, LIMIT)
    if found.empty:
        st.info("No request in this range passes the filters.", icon=":material/filter_alt_off:")
        return
    event: Any = st.dataframe(
        table(found),
        hide_index=True,
        column_order=SHOWN,
        column_config=_columns(),
        on_select="rerun",
        selection_mode="single-row",
        key="requests",
        placeholder=UNKNOWN,
        height=420,
        alt="Requests, newest first",
    )
    more = f" The newest {LIMIT} are shown." if len(found) == LIMIT else ""
    st.caption(f"Select a row for its details and attempts.{more}")
    for row in event.selection.rows[:1]:
        _details(found.iloc[row])


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Requests as the table shows them; an unknown value stays empty."""
    return found.assign(
        status=[status(*pair) for pair in zip(found["success"], found["error_type"], strict=True)],
        model=found["model_served"].fillna(found["model_requested"]),
        tokens=[tokens(*pair) for pair in zip(found["input_tokens"], found["output_tokens"], strict=True)],
        ttft_ms=found["ttft_s"] * 1000.0,
        e2e_ms=found["e2e_s"] * 1000.0,
        energy=_energies(found),
        co2e=[grams(*pair) for pair in zip(found["co2e_g"], found["grid_estimated"], strict=True)],
        cost_text=[money(*pair) for pair in zip(found["cost"], found["currency"], strict=True)],
        quality=found["energy_quality"],
        cache=found["cache_result"],
    )


def status(success: bool, error_type: str | None) -> str:
    """How it ended, by sign and by word."""
    return "✓ ok" if success else f"✕ {error_type or 'failed'}"


def joules(value: float | None, error: float | None, coverage: float | None = None) -> str:
    """Energy with its standard error in the same unit; where a part of its time was not metered, of how much it is."""
    if value is None or pd.isna(value):
        return UNKNOWN
    known = quantity(value, "J")
    if error is not None and not pd.isna(error) and error:
        known = f"{known} ± {quantity(error, 'J')}"
    if coverage is None or pd.isna(coverage) or coverage >= WHOLLY:
        return known
    return f"{known} · {_percent(coverage)} metered"


def _percent(share: float) -> str:
    """Of something that is not whole: never 100."""
    return f"{min(share, 0.99):.0%}"


def _energies(rows: pd.DataFrame) -> list[str]:
    return [joules(*one) for one in zip(rows["energy_j"], rows["energy_se_j"], rows["energy_coverage"], strict=True)]


def grams(value: float | None, estimated: bool | None) -> str:
    """CO2e, with a sign of approximation where its factor is not a reading of the moment."""
    if value is None or pd.isna(value):
        return UNKNOWN
    approximate = estimated is not None and not pd.isna(estimated) and bool(estimated)
    return f"{'≈ ' if approximate else ''}{quantity(value, 'g')}"


def money(value: float | None, currency: str | None) -> str:
    """An amount in its currency."""
    return UNKNOWN if value is None or pd.isna(value) else quantity(value, str(currency or "?"))


def tokens(given: float | None, answered: float | None) -> str:
    """Tokens in and out; a question mark where a count is not known."""
    return " → ".join("?" if count is None or pd.isna(count) else f"{int(count)}" for count in (given, answered))


def _details(request: Any) -> None:
    with st.container(border=True):
        ended = status(request["success"], request["error_type"])
        st.subheader(f"{ended} · {request['started_at']:%Y-%m-%d %H:%M:%S} UTC", anchor=False)
        left, right = st.columns([2, 3], gap="medium")
        with left:
            known = {name: request[name] for name in DETAILS if not pd.isna(request[name])}
            st.table({name.replace("_", " "): f"`{value}`" for name, value in known.items()}, border="horizontal")
        with right:
            _phases(request)
            _charges(request)
            _attempts(request)


def _phases(request: Any) -> None:
    phases = [f"{name} {quantity(request[f'{name}_s'], 's')}" for name in ("queue", "prefill", "decode")]
    st.markdown(f"**Phases** {' · '.join(phases)} · in all {quantity(request['e2e_s'], 's')}")


def _charges(request: Any) -> None:
    """Grams and money with their components and the factor that was used."""
    if not pd.isna(request["co2e_g"]) and not pd.isna(request["grid_zone"]):
        year = "" if pd.isna(request["grid_year"]) else f" {request['grid_year']:.0f}"
        factor = f"{quantity(request['grid_g_per_kwh'], 'g/kW.h')} {request['grid_basis']}, PUE {request['pue']:g}"
        label = ":orange-badge[estimated]" if request["grid_estimated"] else ""
        st.markdown(
            f"**CO2e** {quantity(request['co2e_g'], 'g')} operational · "
            f"{quantity(request['co2e_embodied_g'], 'g')} embodied {label}  \n"
            f"factor: {factor}, {request['grid_zone']}{year}, {request['grid_source']}{_making(request)}"
        )
    if not pd.isna(request["cost"]):
        currency = str(request["currency"] or "?")
        parts = (f"{name} {quantity(request[f'cost_{name}'], currency)}" for name in ("energy", "device", "tokens"))
        known = " · ".join(part for part in parts if UNKNOWN not in part)
        named = dict.fromkeys(request[name] for name in ("price_source", "hardware_source"))
        sources = ", ".join(source for source in named if not pd.isna(source))
        line = f"  \nprices: {sources}" if sources else ""
        st.markdown(f"**Cost** {quantity(request['cost'], currency)} ({known}){line}")


def _making(request: Any) -> str:
    """Where the grams of making the hardware come from."""
    if pd.isna(request["co2e_embodied_g"]) or pd.isna(request["hardware_source"]):
        return ""
    return f"; embodied: {request['hardware_source']}"


def _attempts(request: Any) -> None:
    tries = data.attempts(data.address(), request["request_id"], request["started_at"].to_pydatetime())
    if tries.empty:
        st.markdown("**No attempt**: it never reached an engine.")
        return
    shown = tries.assign(energy=_energies(tries))
    st.markdown("**Attempts**")
    st.dataframe(
        shown,
        hide_index=True,
        column_order=tuple(ATTEMPT),
        column_config=ATTEMPT,
        placeholder=UNKNOWN,
        alt="Attempts of the selected request",
    )


def _columns() -> dict[str, Any]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "status": text("Status", pinned=True),
        "started_at": st.column_config.DatetimeColumn("Started (UTC)", format="MMM D, HH:mm:ss"),
        "tokens": text("Tokens in → out"),
        "ttft_ms": number("TTFT ms", format="%.1f"),
        "e2e_ms": number("E2E ms", format="%.0f"),
        "energy": text("Energy ± s.e.", help="Joules of the time that was metered; where that is not all, how much"),
        "co2e": text("CO2e", help="Operational, of its active joules; ≈ where the factor is not of that moment"),
        "cost_text": text("Cost"),
        "quality": text("Provenance"),
        "tenant": text("Tenant"),
        "tier": text("Tier"),
        "model": text("Model"),
        "cache": text("Cache"),
    }


page.show(TITLE, body)
