"""The SQL files of this folder as text: tables, views and macros, one object per file, found by listing.

``{name}`` in a table file makes it a template of day tables: ``<relation>_YYYYMMDD``.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

RAW: Final = ("spans", "metric_points", "call_events")
ROLLED_UP: Final = {
    "request_hours": ("requests",),
    "duration_hours": ("requests",),
    "energy_hours": ("energy_spent", "attempt_energy", "energy_intervals"),
}
"""Settled relations whose buckets are hours, and what they are sums of: replacing a bucket there empties its hour.

They are small: all their hours lie in one table each, which is neither closed nor sealed.
"""
BY_DAY: Final = ("requests", "attempts", "attempt_energy", "energy_intervals", "energy_spent", "job_progress")
"""Settled relations with a table per day."""
SETTLED: Final = (*BY_DAY, *ROLLED_UP)
RECORDS: Final = ("runs", "events", "alerts", "grid_intensity", "step_models")
RELATIONS: Final = (*RAW, *SETTLED, *RECORDS)
DERIVED: Final = ("jobs",)
"""Views over the relations, one file of ``store/derived`` each."""
MEASURED: Final = {
    "requests": (
        *("bucket_ns", "started_at", "tier", "tenant", "model_served", "model_requested", "run_id", "success"),
        *("streamed", "cache_result", "input_tokens", "cached_input_tokens", "output_tokens", "first_token_origin"),
        *("e2e_s", "ttft_s", "tpot_s", "queue_s", "itl_s", "energy_j", "energy_quality", "cost_tokens", "currency"),
    )
}
"""Columns that metrics are made of, in a view of their own: planning a month of days takes a third of the time."""
BOOKS: Final = ("manifest", "archive_files", "spool_progress", "settle_progress")
"""Tables that tell what is current and archived, how far the spool is stored, and how far settlement has come."""
BOOKKEEPING: Final = ("bucket_ns", "generation")
"""Columns of settled rows that the public views leave out."""

_FOLDER = Path(__file__).parent


@cache
def table(relation: str, name: str) -> str:
    """The CREATE TABLE statement of ``relation`` for the table ``name``."""
    return _read(f"tables/{relation}.sql").replace("{name}", name)


def view(name: str, columns: Sequence[str], branches: Sequence[str], by_name: Sequence[str] = ()) -> str:
    """The CREATE VIEW statement of ``columns`` over ``branches``, SELECTs of just these, and others that may lack some,
    which are joined by column name.
    """
    listed = ", ".join(f'"{column}"' for column in columns)
    text = _read("views/union.sql").replace("{name}", name).replace("{columns}", listed)
    joined = ["\nUNION ALL\n".join(branches), *by_name]
    return text.replace("{branches}", "\nUNION ALL BY NAME\n".join(joined))


def derived_view(relation: str) -> str:
    """The CREATE VIEW statement of a view over other relations."""
    return _read(f"derived/{relation}.sql").replace("{name}", relation)


def macros() -> dict[str, str]:
    """CREATE MACRO statements by macro name, sorted."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((_FOLDER / "macros").glob("*.sql"))}


@cache
def _read(path: str) -> str:
    return (_FOLDER / path).read_text(encoding="utf-8")
