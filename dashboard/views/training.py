"""Training and batch jobs: what each cost, how far it came, and the course of its loss and of its joules."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from analytics import metric
from analytics.reports.quantities import quantity
from dashboard import charts, data, page
from dashboard.selection import Selection

TITLE = "Training"
ICON = ":material/model_training:"
ORDER = 40

COURSES: Final = ("job_loss", "job_energy_per_sample", "job_energy_per_token", "job_device_utilization")
EXAMPLE: Final = """with tokenjoule.track("train") as job:
    for batch in batches:
        job.step(samples=len(batch), loss=train(batch))"""


def body(selection: Selection) -> None:
    """The table of jobs, and below it four courses."""
    window = selection.window()
    found = data.jobs(data.address(), window)
    if found.empty:
        st.info("No training or batch job in this range. Three lines report one:", icon=":material/model_training:")
        st.code(EXAMPLE, language="python")
        return
    st.dataframe(
        table(found), hide_index=True, column_config=_columns(), alt="Training and batch jobs, newest first"
    )  # fmt: skip
    qualities = ", ".join(sorted(set(found["energy_quality"].dropna()))) or "not known"
    st.caption(f"Over all of a job's time. Its joules are active joules from the ledger: {qualities}.")
    if selection.filters.tiers or selection.filters.tenants:
        st.info("Jobs belong to no tier and no tenant: the courses below are empty under such a filter.")
    courses = data.metrics(data.address(), COURSES, window, selection.filters, ("model",), selection.bucket_s)
    places = [*st.columns(2, gap="medium"), *st.columns(2, gap="medium")]
    for place, name in zip(places, COURSES, strict=True):
        with place:
            _course(name, courses[name])


def table(found: pd.DataFrame) -> pd.DataFrame:
    """The rows as people read them."""
    texts = {
        "time": ("elapsed_s", "s"),
        "energy": ("energy_j", "J"),
        "per_sample": ("j_per_sample", "J/{sample}"),
        "per_token": ("j_per_token", "J/{token}"),
        "flops": ("flops_per_token", "{operation}/{token}"),
        "rate": ("samples_per_device_hour", "{sample}/h"),
    }
    shown = {name: [quantity(value, unit) for value in found[column]] for name, (column, unit) in texts.items()}
    kept = found[["name", "status", "started_at", "samples", "loss"]]
    return kept.assign(status=found["error_type"].fillna(found["status"]), **shown)


def _columns() -> dict[str, Any]:
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    return {
        "name": text("Job", pinned=True),
        "status": text("Ended", help="ok, running, interrupted, or the exception it failed with"),
        "started_at": st.column_config.DatetimeColumn("Began (UTC)", format="YYYY-MM-DD HH:mm:ss"),
        "samples": number("Samples", format="localized"),
        "loss": number("Loss", format="%.3g"),
        "time": text("Time"),
        "energy": text("Energy"),
        "per_sample": text("Per sample"),
        "per_token": text("Per token"),
        "flops": text("FLOPs"),
        "rate": text("Rate", help="samples per hour of each GPU, or of the host's CPU"),
    }


def _course(name: str, frame: pd.DataFrame) -> None:
    told = metric.load(name)
    st.subheader(told.title, anchor=False)
    if not frame["value"].notna().any():
        st.info("No job in this range reports it.", icon=":material/timer_off:")
        return
    chart, words = charts.lines(frame.rename(columns={"model": "job"}), "job", told.title, told.unit)
    st.altair_chart(chart, alt=words)


page.show(TITLE, body)
