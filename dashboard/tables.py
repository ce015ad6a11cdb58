"""The table of the overview: one row per tier, tenant or model, each with the numbers that its owner asks about."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from analytics.metric import Dimension, Window
from analytics.reports.quantities import quantity
from dashboard import data
from dashboard.selection import Selection

GROUPS: Final[dict[str, Dimension]] = {"Tier": "tier", "Tenant": "tenant", "Model": "model"}
METRICS: Final = ("energy_per_successful_token", "e2e_p95", "response_cache_hit_rate", "error_rate")
NOBODYS: Final = {"idle": "idle", "unattributed": "overhead and unattributed"}


def groups(selection: Selection, window: Window) -> None:
    """Numbers by tier, tenant or model, and below what belongs to none of them."""
    st.subheader("Who it was spent on", anchor=False)
    chosen = st.segmented_control(
        "Rows", list(GROUPS), default="Tier", required=True, key="rows", label_visibility="collapsed"
    )
    dimension = GROUPS[str(chosen)]
    found = data.metrics(data.address(), METRICS, window, selection.filters, (dimension,))
    st.dataframe(
        frame(found, dimension),
        hide_index=True,
        column_config=_columns(str(chosen)),
        alt=f"Requests, energy per token, latency, cache hits and errors by {dimension}",
    )
    st.caption(_rest(found["energy_per_successful_token"]))


def frame(found: dict[str, pd.DataFrame], dimension: Dimension) -> pd.DataFrame:
    """One row per group; NULL groups are shown as a dash."""
    energy = found["energy_per_successful_token"]
    rows = energy[energy["part"] == "attributed"].set_index(dimension)
    shown = pd.DataFrame(
        {"requests": rows["n"], "mj_per_token": rows["value"] * 1000.0}
        | {name: found[name].set_index(dimension)["value"] for name in METRICS[1:]}
    )
    shown.insert(0, "group", [name if isinstance(name, str) else "–" for name in shown.index])
    return shown.assign(e2e_p95=shown["e2e_p95"] * 1000.0).sort_values("requests", ascending=False)


def _columns(first: str) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "group": st.column_config.TextColumn(first, pinned=True),
        "requests": number("Requests", format="localized"),
        "mj_per_token": number("mJ/token", format="%.0f", help="attributed joules ÷ successful tokens"),
        "e2e_p95": number("p95 ms", format="%.0f", help="end-to-end latency of successful requests"),
        "response_cache_hit_rate": number("Hits", format="percent", help="hits ÷ cacheable requests"),
        "error_rate": number("Errors", format="percent", help="requests without success ÷ all requests"),
    }


def _rest(energy: pd.DataFrame) -> str:
    rest = energy[~energy["part"].isin(["attributed", "total"])].groupby("part")["joules"].sum()
    words = ", ".join(f"{quantity(joules, 'J')} {NOBODYS[str(part)]}" for part, joules in rest.items())
    return f"Attributed joules only; beside them {words}." if words else "Attributed joules only."
