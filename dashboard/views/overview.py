"""What a successful token costs now, against the period before, and where the joules went."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from analytics.metric import Window
from analytics.reports.footprint import Charge
from analytics.reports.quantities import UNKNOWN, quantity
from conventions.errors import SettingsError
from dashboard import charts, data, page, tables
from dashboard.cards import budget_card, no_budget_card, number_card
from dashboard.selection import Selection

TITLE = "Overview"
ICON = ":material/bolt:"
ORDER = 10

NOT_MEASURED = ("estimated", "simulated")


def body(selection: Selection) -> None:
    """Five numbers, the energy split, the table by group."""
    window = selection.window()
    numbers, energy, charges = data.overview(data.address(), window, selection.filters, selection.bucket_s)
    _banner(energy)
    st.caption(f"Last {selection.words}, compared with the {selection.words} before.")
    grid = st.grid(6, min_column_width=135, gap="small")
    with grid.cell(column_span=2):
        number_card(numbers[0])
    with grid:
        for number in numbers[1:]:
            number_card(number)
        _budgets(window)
    left, right = st.columns([6, 5], gap="medium")
    with left:
        _split(energy, selection)
    with right:
        tables.groups(selection, window)
    _charges(charges)


def _budgets(window: Window) -> None:
    try:
        budget_card(data.burns(data.address(), data.configuration(), window))
    except SettingsError as error:
        no_budget_card("unusable file", str(error))


def _banner(energy: pd.DataFrame) -> None:
    kinds = sorted(set(energy["quality"]) & set(NOT_MEASURED))
    if kinds:
        st.warning(
            f"**Energy is {' and '.join(kinds)}, not measured:** compare with it, do not bill by it.",
            icon=":material/rule:",
        )


def _charges(found: Sequence[Charge]) -> None:
    """Carbon and cost, where a zone or prices are configured or emitters report a cost."""
    if not found:
        return
    st.subheader("Carbon and cost", anchor=False)
    rows = [{"": one.title, "value": one.text, "sums": one.parts, "factor": one.label} for one in found]
    st.dataframe(pd.DataFrame(rows), hide_index=True, placeholder=UNKNOWN, alt="Carbon and cost of the range")


def _split(energy: pd.DataFrame, selection: Selection) -> None:
    st.subheader("Where the joules went", anchor=False)
    if energy.empty:
        st.info(
            "**No energy data in this range.** Requests arrive, and no counter does: "
            "`tokenjoule doctor` says which probes work on this machine.",
            icon=":material/power_off:",
        )
        return
    measured = not set(energy["quality"]) & set(NOT_MEASURED)
    chart, words = charts.energy_split(energy, selection.bucket_s, measured)
    st.altair_chart(chart, alt=words)
    total = f"{quantity(energy['value'].sum(), 'J')} in the last {selection.words}."
    if selection.filters.tiers or selection.filters.tenants:
        total += " Under a filter only attributed joules count: idle and unattributed ones belong to nobody."
    st.caption(total)


page.show(TITLE, body)
