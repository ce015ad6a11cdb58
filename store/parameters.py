"""Query parameters as JSON can carry them, so that the same SQL means the same locally and over HTTP."""

import datetime
from collections.abc import Mapping
from typing import Any


def plain(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """``parameters`` with times as ISO 8601 strings in UTC without a zone; SQL casts them (``$start::TIMESTAMP``)."""
    return {name: _plain(value) for name, value in (parameters or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        return utc.isoformat(sep=" ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value
