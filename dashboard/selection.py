"""What the reader of the dashboard chose in the sidebar: time range, tiers, tenants; kept in the page's address."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import streamlit as st

from analytics.metric import Filters, Window
from dashboard import data

REFRESH_S: Final = 10
DEFAULT: Final = "1h"
RANGES: Final = {
    "15m": ("15 minutes", timedelta(minutes=15), 30),
    "1h": ("hour", timedelta(hours=1), 60),
    "6h": ("6 hours", timedelta(hours=6), 600),
    "24h": ("24 hours", timedelta(hours=24), 1800),
    "7d": ("7 days", timedelta(days=7), 14_400),
    "30d": ("30 days", timedelta(days=30), 86_400),
}
"""Name: words, length, width of a time bucket in seconds (30 to 60 points on a line)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen range and filters."""

    span: str
    filters: Filters
    refresh: bool

    @property
    def words(self) -> str:
        """The range in words."""
        return RANGES[self.span][0]

    @property
    def bucket_s(self) -> int:
        """Width of a time bucket."""
        return RANGES[self.span][2]

    def window(self) -> Window:
        """The range up to now, cut to the refresh interval so that equal questions meet in the cache."""
        now = datetime.now(UTC).replace(tzinfo=None)
        end = datetime.fromtimestamp(-(-now.replace(tzinfo=UTC).timestamp() // REFRESH_S) * REFRESH_S, UTC)
        return Window(end.replace(tzinfo=None) - RANGES[self.span][1], end.replace(tzinfo=None))


def sidebar() -> Selection:
    """Draw the filters and return what is chosen. Raises ``StoreError`` when the store cannot be read."""
    with st.sidebar:
        span = st.segmented_control(
            "Time range", list(RANGES), default=DEFAULT, required=True, key="range", bind="query-params"
        )
        spare = Selection(str(span), Filters(), refresh=False)
        seen = data.seen(data.address(), spare.window())
        tiers = _several("Tier", seen.tiers)
        tenants = _several("Tenant", seen.tenants)
        refresh = st.toggle(f"Refresh every {REFRESH_S} s", key="refresh", bind="query-params")
        st.caption(f"All times are UTC. Store: `{data.address()}`")
    return Selection(str(span), Filters(tiers=tuple(tiers), tenants=tuple(tenants)), refresh)


def _several(label: str, known: list[str]) -> list[str]:
    key = label.lower()
    return st.multiselect(label, known, key=key, bind="query-params", placeholder=f"all {key}s")
