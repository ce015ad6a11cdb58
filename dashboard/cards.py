"""The number cards: value with its unit, change against the period before, course, provenance."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from analytics import metric
from analytics.reports.headline import Number
from analytics.reports.quantities import UNKNOWN, difference, quantity, times
from dashboard.data import Course

BURN: Final = (
    "Spent ÷ allowed by now, of the budget that burns fastest; 1× spends it exactly by the end of its window. "
    "Budgets are the `[[budgets]]` of the file in `TOKENJOULE_CONFIG`."
)
SHORT: Final = {
    "energy_per_successful_token": "Energy per successful token",
    "ttft_p95": "TTFT p95",
    "e2e_p95": "Latency p95 (E2E)",
    "response_cache_hit_rate": "Cache hit rate",
}


def number_card(number: Number) -> None:
    """One headline number against the period of the same length before."""
    change = difference(number.value, number.previous, number.unit).replace("−", "-")
    known = any(digit in change for digit in "123456789")
    flat = change[:1] in "+-" and not known
    st.metric(
        _label(number),
        quantity(number.value, number.unit),
        0 if flat else change if known else None,
        delta_color="inverse" if number.better == "lower" else "normal",
        delta_description=None if known or flat else "nothing before",
        help=metric.load(number.name).definition,
        border=True,
        height="stretch",
        chart_data=[value for _, value in number.series if value is not None] or None,
        chart_type="area",
    )


def budget_card(courses: Sequence[Course]) -> None:
    """The budget that burns fastest, with its course; the others in the help. 1× spends it exactly by its end."""
    known = [course for course in courses if course.now.burn is not None]
    if not known:
        no_budget_card("nothing spent yet" if courses else "no budgets", BURN)
        return
    worst = max(known, key=lambda course: course.now.burn or 0.0)
    now, before = worst.now.burn, worst.before[0]
    over = now is not None and now > 1.0
    burnt = [burn for burn in (*worst.before, now) if burn is not None]
    st.metric(
        "Budget burn",
        times(now),
        None if now is None or before is None else round(now - before, 2) or 0,
        delta_color="red" if over else "inverse",
        delta_description=f"{worst.now.name}: over" if over else worst.now.name,
        help=f"{BURN} Now: " + "; ".join(f"{course.now.name} {times(course.now.burn)}" for course in courses),
        border=True,
        height="stretch",
        chart_data=burnt if len(burnt) > 1 else None,
        chart_type="area",
    )


def no_budget_card(why: str, told: str) -> None:
    """The card without a number."""
    st.metric("Budget burn", UNKNOWN, delta_description=why, help=told, border=True, height="stretch")


def _label(number: Number) -> str:
    words = SHORT[number.name]
    if number.origin:
        words = f"{words} ({number.origin})"
    if number.part == "attributed":
        words = f"{words} (attributed)"
    if number.quality in ("estimated", "simulated"):
        words = f"{words} :orange-badge[{number.quality}]"
    return words
