"""How long answers take: end to end, to the first token, and between tokens."""

import pandas as pd
import streamlit as st

from dashboard import charts, data, page
from dashboard.selection import Selection

TITLE = "Latency"
ICON = ":material/speed:"
ORDER = 20

E2E = {"e2e_p50": "p50", "e2e_p95": "p95", "e2e_p99": "p99"}
BETWEEN = {"tpot_p50": "TPOT p50", "tpot_p95": "TPOT p95", "itl_p95": "ITL p95"}


def body(selection: Selection) -> None:
    """Four charts in reading order: what users feel, its shape, its first part, its rest."""
    window, filters, bucket_s = selection.window(), selection.filters, selection.bucket_s
    names = [*E2E, *BETWEEN, "ttft_p95"]
    found = data.metrics(data.address(), names, window, filters, (), bucket_s)
    top, bottom = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    with top[0]:
        _lines("End to end", _together(found, E2E), "series", "latency")
        st.caption(f"Successful requests, cache hits included. Percentiles are {_precision(found)}, never averaged.")
    with top[1]:
        _heat(data.latency_heat(data.address(), window, filters, bucket_s), bucket_s)
    with bottom[0]:
        _lines("Time to first token, p95", found["ttft_p95"], "origin", "TTFT p95")
        st.caption("By who saw the first token: engine, gateway and client times are never mixed.")
    with bottom[1]:
        _lines("Between tokens", _together(found, BETWEEN), "series", "time per token")
        st.caption("TPOT: mean of one request. ITL: each single gap, where requests report them.")


def _precision(found: dict[str, pd.DataFrame]) -> str:
    """Long windows of many requests are answered from counts by step."""
    errors = pd.concat([frame["relative_error"] for frame in found.values()])
    return f"within {errors.max():.0%}" if errors.gt(0).any() else "exact"


def _together(found: dict[str, pd.DataFrame], names: dict[str, str]) -> pd.DataFrame:
    return pd.concat([found[name].assign(series=words) for name, words in names.items()], ignore_index=True)


def _lines(title: str, frame: pd.DataFrame, series: str, what: str) -> None:
    st.subheader(title, anchor=False)
    if frame["value"].notna().any():
        chart, words = charts.lines(frame, series, what)
        st.altair_chart(chart, alt=words)
    else:
        st.info("Nothing in this range reports it.", icon=":material/timer_off:")


def _heat(frame: pd.DataFrame, bucket_s: int) -> None:
    st.subheader("Shape", anchor=False)
    if frame.empty:
        st.info("No successful request in this range.", icon=":material/timer_off:")
        return
    chart, words = charts.heat(frame, bucket_s)
    st.altair_chart(chart, alt=words)
    st.caption("Every successful request, on a logarithmic axis: two bands are two kinds of requests.")


page.show(TITLE, body)
