"""A run's own rows in the store: one when it starts, one when it ends (``POST /v1/records/runs``)."""

import http.client
import json
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from conventions.errors import UpstreamError
from conventions.units import NANOSECONDS_PER_SECOND, nanoseconds_from_seconds
from loadgen.summary import Heading, RunResult

_TIMEOUT_S: Final = 10.0


class Records:
    """Writes to the collector at ``url``; without one, nothing is written."""

    def __init__(self, url: str | None, token: str | None = None) -> None:
        self._url = url
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def started(self, heading: Heading, settings: dict[str, Any]) -> None:
        """The row that says the run has begun. Raises ``UpstreamError`` when the collector does not take it."""
        self._post({**_row(heading), "status": "started", "summary": json.dumps({"settings": settings})})

    def ended(self, heading: Heading, result: RunResult, settings: dict[str, Any]) -> None:
        """The row with the counts. Raises ``UpstreamError`` when the collector does not take it."""
        ended_unix_ns = heading.started_unix_ns + nanoseconds_from_seconds(result.elapsed_s)
        self._post(
            {
                **_row(heading),
                "status": "finished" if result.ok else "failed",
                "ended_at": _iso(ended_unix_ns),
                "requests_sent": result.sent,
                "requests_ok": result.ok,
                "summary": json.dumps({"settings": settings, "result": json.loads(result.to_json())}),
            }
        )

    def _post(self, row: dict[str, Any]) -> None:
        if self._url is None:
            return
        address = urlsplit(self._url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", f"{address.path}/v1/records/runs", json.dumps({"rows": [row]}), self._headers)
            response = connection.getresponse()
            text = response.read(2_000).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            remedy = "start it, or pass --collector none"
            raise UpstreamError(f"no collector at {self._url} ({error}): {remedy}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise UpstreamError(f"the collector at {self._url} answered {response.status} to a run's record: {text}")


def _row(heading: Heading) -> dict[str, Any]:
    return {
        "recorded_at": _iso(None),
        "run_id": heading.run_id,
        "kind": "load",
        "scenario": heading.scenario,
        "arm": heading.arm,
        "started_at": _iso(heading.started_unix_ns),
    }


def _iso(unix_ns: int | None) -> str:
    """ISO 8601 in UTC without a zone, as the store's TIMESTAMP columns want it; None is now."""
    moment = datetime.now(UTC) if unix_ns is None else datetime.fromtimestamp(unix_ns / NANOSECONDS_PER_SECOND, UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
