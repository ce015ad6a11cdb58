"""The charts: Altair, Okabe–Ito colours, tooltips, units on every axis, and a sentence in words."""

import math
from typing import Any, Final

import altair as alt
import pandas as pd

from analytics.reports.quantities import quantity, share

Chart = Any  # altair's classes differ by how a chart was composed

PART_COLOURS: Final = {
    "successful": "#009E73",
    "failed": "#D55E00",
    "job": "#E69F00",
    "idle": "#56B4E9",
    "overhead": "#999999",
    "unattributed": "#CC79A7",
}
SERIES_COLOURS: Final = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
HEIGHT: Final = 270
FEW_POINTS = 8

_WHEN: Final = alt.Tooltip("bucket:T", title="UTC", format="%Y-%m-%d %H:%M", formatType="utc")
_LEGEND: Final = alt.Legend(title=None, orient="top", symbolType="square", offset=4)
_SECONDS: Final = (
    "datum.value === 0 ? '0' : datum.value < 0.001 ? format(datum.value * 1e6, '~g') + ' µs' : "
    "datum.value < 1 ? format(datum.value * 1e3, '~g') + ' ms' : format(datum.value, '~g') + ' s'"
)
_JOULES: Final = "datum.value === 0 ? '0' : format(datum.value, '~s') + 'J'"


def energy_split(frame: pd.DataFrame, bucket_s: int, measured: bool) -> tuple[Chart, str]:
    """Stacked joules per time bucket by where they went; what is not measured is drawn paler, with a dashed edge."""
    drawn = _stacked(frame).assign(
        until=frame["bucket"] + pd.to_timedelta(bucket_s, "s"),
        text=[quantity(value, "J") for value in frame["value"]],
    )
    mark: dict[str, Any] = {} if measured else {"fillOpacity": 0.6, "strokeDash": [3, 2], "strokeWidth": 0.7}
    colour = alt.Color("part:N", scale=_scale(PART_COLOURS), legend=_LEGEND)
    chart = (
        alt.Chart(drawn, height=HEIGHT)
        .mark_rect(**mark)
        .encode(
            x=_time(frame),
            x2="until:T",
            y=alt.Y("low:Q", title="energy", axis=alt.Axis(labelExpr=_JOULES)),
            y2="high:Q",
            color=colour,
            tooltip=[_WHEN, alt.Tooltip("part:N", title="joules"), alt.Tooltip("text:N", title="energy")],
        )
    )
    return chart if measured else chart.encode(stroke=alt.Stroke("part:N", scale=_scale(PART_COLOURS))), _split_words(
        frame
    )


def lines(frame: pd.DataFrame, series: str, title: str, unit: str = "s") -> tuple[Chart, str]:
    """Values in ``unit`` over time, one line per value of the column ``series``, with points where the pointer is."""
    names = list(dict.fromkeys(frame[series]))
    drawn = frame.assign(text=[quantity(value, unit) for value in frame["value"]])
    near = alt.selection_point(nearest=True, on="pointerover", fields=["bucket"], empty=False)
    base = alt.Chart(drawn, height=HEIGHT).encode(
        x=_time(frame),
        y=alt.Y("value:Q", title=title, axis=alt.Axis(labelExpr=_SECONDS) if unit == "s" else alt.Axis(format="~s")),
        color=alt.Color(f"{series}:N", scale=_scale(dict(zip(names, SERIES_COLOURS, strict=False))), legend=_LEGEND),
    )
    rest = 1 if frame["bucket"].nunique() < FEW_POINTS else 0  # a line through one point is nothing to see
    points = base.mark_point(filled=True, size=55).encode(
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(rest)),
        tooltip=[_WHEN, alt.Tooltip(f"{series}:N"), alt.Tooltip("text:N", title=title), alt.Tooltip("n:Q", format=",")],
    )
    chart = base.mark_line(strokeWidth=2, interpolate="monotone") + points.add_params(near)
    return chart, f"{title} over time: {_last_words(frame, series, unit)}"


def heat(frame: pd.DataFrame, bucket_s: int) -> tuple[Chart, str]:
    """Requests by time and by step of latency, on a logarithmic axis: every request is in one cell."""
    drawn = frame.assign(
        until=frame["bucket"] + pd.to_timedelta(bucket_s, "s"),
        text=[
            f"{quantity(low, 's')} to {quantity(high, 's')}"
            for low, high in zip(frame["from_s"], frame["to_s"], strict=True)
        ],
    )
    chart = (
        alt.Chart(drawn, height=HEIGHT)
        .mark_rect()
        .encode(
            x=_time(frame),
            x2="until:T",
            y=alt.Y("from_s:Q", title="latency", scale=alt.Scale(type="log"), axis=_log_axis(frame)),
            y2="to_s:Q",
            color=alt.Color(
                "n:Q", title="requests", scale=alt.Scale(scheme="viridis", reverse=True), legend=alt.Legend(tickCount=4)
            ),
            tooltip=[_WHEN, alt.Tooltip("text:N", title="latency"), alt.Tooltip("n:Q", title="requests", format=",")],
        )
    )
    low, high = quantity(frame["from_s"].min(), "s"), quantity(frame["to_s"].max(), "s")
    return chart, f"Heat map of end-to-end latency: {frame['n'].sum()} requests between {low} and {high}."


def _scale(colours: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def _time(frame: pd.DataFrame) -> alt.X:
    """The time axis: hours within two days, dates beyond."""
    long = frame["bucket"].max() - frame["bucket"].min() > pd.Timedelta(days=2)
    axis = alt.Axis(format="%d %b" if long else "%H:%M", labelOverlap=True, tickCount=6)
    return alt.X("bucket:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _log_axis(frame: pd.DataFrame) -> alt.Axis:
    first, last = math.floor(math.log10(frame["from_s"].min())), math.ceil(math.log10(frame["to_s"].max()))
    return alt.Axis(labelExpr=_SECONDS, values=[10.0**power for power in range(first, last + 1)])


def _stacked(frame: pd.DataFrame) -> pd.DataFrame:
    """``low`` and ``high`` of each part's box; parts lie in the order of their colours."""
    ordered = frame.assign(place=frame["part"].map(list(PART_COLOURS).index)).sort_values(["bucket", "place"])
    high = ordered.groupby("bucket")["value"].cumsum()
    return ordered.assign(high=high, low=high - ordered["value"]).sort_index()


def _split_words(frame: pd.DataFrame) -> str:
    sums = frame.groupby("part")["value"].sum()
    total = sums.sum()
    parts = ", ".join(f"{part} {share(sums.get(part, 0.0) / total)}" for part in PART_COLOURS if total)
    return f"Energy over time, {quantity(total, 'J')} in all: {parts}."


def _last_words(frame: pd.DataFrame, series: str, unit: str) -> str:
    newest = frame.dropna(subset=["value"]).sort_values("bucket").groupby(series, sort=False).last()
    return ", ".join(f"{name} last {quantity(row['value'], unit)}" for name, row in newest.iterrows()) + "."
