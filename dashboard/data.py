"""Everything the views read, through ``store.reading`` and cached for a few seconds; every query is bounded by time.

``StoreError`` is the one error that comes out of here; ``dashboard.page`` turns it into words.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from analytics import alerting, together
from analytics.budgets import Budget, BudgetStatus, burn, status
from analytics.metric import Dimension, Filters, Window
from analytics.reports import jobs as job_report
from analytics.reports import overview as reports
from analytics.reports.footprint import Charge
from analytics.reports.headline import Number
from analytics.together import Question
from store import reading
from store.reading import Reader

DEFAULT_ADDRESS: Final = "http://127.0.0.1:4318"
TTL_S: Final = 8
HISTORY: Final = timedelta(days=400)
TIMEOUT_S: Final = 15.0
MAX_AGE_S: Final = 2
"""What was acknowledged so lately may be missing from a page that keeps its answers for ``TTL_S``. No statement of it
waits then for what arrives, and none makes the collector commit before its time."""
BURN_STEPS: Final = 6

LATEST = """
    SELECT max(started_at) AS latest
    FROM (SELECT started_at FROM requests_measured UNION ALL SELECT started_at FROM job_progress)
    WHERE started_at >= CAST($start AS TIMESTAMP)
"""
SEEN = """
    SELECT list_sort(list(DISTINCT tier) FILTER (WHERE tier IS NOT NULL)) AS tier,
           list_sort(list(DISTINCT tenant) FILTER (WHERE tenant IS NOT NULL)) AS tenant,
           max(started_at) AS latest
    FROM requests_measured WHERE started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
"""
SCOPED = """
    started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
      AND (len(CAST($tiers AS VARCHAR[])) = 0 OR list_contains(CAST($tiers AS VARCHAR[]), tier))
      AND (len(CAST($tenants AS VARCHAR[])) = 0 OR list_contains(CAST($tenants AS VARCHAR[]), tenant))
"""
HEAT = f"""
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS bucket,
           power(10, floor(log10(e2e_s) * 6) / 6) AS from_s, power(10, (floor(log10(e2e_s) * 6) + 1) / 6) AS to_s,
           count(*) AS n
    FROM requests_measured WHERE success AND e2e_s > 0 AND {SCOPED}
    GROUP BY ALL ORDER BY ALL
"""
REQUESTS = f"""
    SELECT * EXCLUDE (attributes, itl_s) FROM requests
    WHERE (CAST($success AS BOOLEAN) IS NULL OR success = CAST($success AS BOOLEAN)) AND {SCOPED}
    ORDER BY started_at DESC LIMIT CAST($limit AS BIGINT)
"""
ATTEMPTS = """
    SELECT * FROM attempts
    WHERE request_id = $request_id AND started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
    ORDER BY attempt
"""


def address() -> str:
    """Where the store is read."""
    return os.environ.get("TOKENJOULE_STORE", DEFAULT_ADDRESS)


def configuration() -> Path | None:
    """The TOML file with the budgets, if one is named."""
    named = os.environ.get("TOKENJOULE_CONFIG")
    return Path(named) if named else None


def query(url: str, sql: str, **parameters: Any) -> pd.DataFrame:
    """Rows of one statement. The reader is closed at once, so that a file is not kept from its owner."""
    with _reader(url) as reader:
        found: pd.DataFrame = reader.query(sql, parameters).to_pandas()
    return found


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def latest(url: str) -> datetime | None:
    """When the newest request started or a job was last heard of; None in an empty store."""
    start = datetime.now(UTC).replace(tzinfo=None) - HISTORY
    return _moment(query(url, LATEST, start=start.isoformat())["latest"].iloc[0])


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def jobs(url: str, window: Window) -> pd.DataFrame:
    """Training and batch jobs that were heard of in the window, newest first."""
    with _reader(url) as reader:
        return pd.DataFrame(job_report.listed(reader, window))


@dataclass(frozen=True, slots=True)
class Seen:
    """Of the requests of a window: their tiers and tenants, and when the newest one started."""

    tiers: list[str]
    tenants: list[str]
    latest: datetime | None


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def seen(url: str, window: Window) -> Seen:
    """What was seen in the window."""
    row = query(url, SEEN, **_bounds(window)).iloc[0]
    tiers, tenants = ([] if row[name] is None else list(row[name]) for name in ("tier", "tenant"))
    return Seen(tiers, tenants, _moment(row["latest"]))


@st.cache_data(ttl=TTL_S, max_entries=64, show_spinner=False)
def overview(
    url: str, window: Window, filters: Filters, bucket_s: int
) -> tuple[list[Number], pd.DataFrame, list[Charge]]:
    """Headline numbers with their course and the period before; energy by bucket; carbon and cost where known."""
    with _reader(url) as reader:
        found = reports.overview(reader, window, bucket_s, filters)
    return found.numbers, _aware(found.energy.to_pandas()), found.charges


@st.cache_data(ttl=TTL_S, max_entries=128, show_spinner=False)
def metrics(
    url: str,
    names: Sequence[str],
    window: Window,
    filters: Filters,
    by: tuple[Dimension, ...] = (),
    bucket_s: int | None = None,
) -> dict[str, pd.DataFrame]:
    """One frame per metric, as ``analytics.metric.run`` answers it; buckets are aware of UTC."""
    with _reader(url) as reader:
        found = together.answers(reader, [Question(name, window, by, filters, bucket_s) for name in names])
    return {name: _aware(rows.to_pandas()) for name, rows in zip(names, found, strict=True)}


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def latency_heat(url: str, window: Window, filters: Filters, bucket_s: int) -> pd.DataFrame:
    """Successful requests per time bucket and step of latency, six steps to a factor of ten."""
    return _aware(query(url, HEAT, bucket_s=bucket_s, **_scope(window, filters)))


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def requests(url: str, window: Window, filters: Filters, success: bool | None, limit: int) -> pd.DataFrame:
    """The newest requests, newest first."""
    return query(url, REQUESTS, success=success, limit=limit, **_scope(window, filters))


@st.cache_data(ttl=TTL_S, max_entries=32, show_spinner=False)
def attempts(url: str, request_id: str, started_at: datetime) -> pd.DataFrame:
    """The tries of one request, first one first."""
    window = Window(started_at - timedelta(minutes=1), started_at + timedelta(days=1))
    return query(url, ATTEMPTS, request_id=request_id, **_bounds(window))


@dataclass(frozen=True, slots=True)
class Course:
    """A budget now, and its burn at moments before, the start of the window first."""

    before: list[float | None]
    now: BudgetStatus


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def burns(url: str, config: Path | None, window: Window) -> list[Course]:
    """Each configured budget at the end of the window, and how it burnt since its start; nothing without a file.

    Raises ``SettingsError`` when the file cannot be used.
    """
    budgets = alerting.load(config)[0] if config else []
    if not budgets:
        return []
    with _reader(url) as reader, ThreadPoolExecutor(together.AT_ONCE, thread_name_prefix="budget") as threads:
        return list(threads.map(lambda budget: _course(reader, budget, window), budgets))


def _course(reader: Reader, budget: Budget, window: Window) -> Course:
    moments = [window.start + timedelta(seconds=window.seconds * step / BURN_STEPS) for step in range(BURN_STEPS)]
    return Course([burn(reader, budget, at) for at in moments], status(reader, budget, window.end))


def _moment(value: Any) -> datetime | None:
    return None if pd.isna(value) else value.to_pydatetime()


def _reader(url: str) -> Reader:
    return reading.open(url, timeout_s=TIMEOUT_S, max_age_s=MAX_AGE_S)


def _bounds(window: Window) -> dict[str, str]:
    return {"start": window.start.isoformat(), "end": window.end.isoformat()}


def _scope(window: Window, filters: Filters) -> dict[str, Any]:
    return {**_bounds(window), "tiers": list(filters.tiers), "tenants": list(filters.tenants)}


def _aware(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(bucket=pd.to_datetime(frame["bucket"]).dt.tz_localize("UTC"))
