"""How one request's joules came about: the intervals it ran in, what was metered there, and its part, with every sum.

Reads settled rows and recomputes nothing: what it shows is what the ledger wrote, and ``checks`` say whether the parts
add up to the row of ``requests``. Constants are those stored nearest to an interval, at most once a minute, and may
differ a little from the ones it was split by.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from analytics.ledger.coverage import WHOLLY
from analytics.ledger.errors import error_terms
from conventions.errors import StoreError
from conventions.units import JOULES_PER_KILOWATT_HOUR
from store.reading import Reader

Row = dict[str, Any]

METHODS: Final = {
    "counters_affine": "the engine's counters, and constants of the step model that the data identify, or did before",
    "phase_weighted": "counters, but constants are not identified yet: a decoded position weighs as 22 of prefill",
    "spans_affine": "no engine counters: the step model on what the visible spans say, requests without spans unseen",
    "time_overlap": "no engine counters, and no constants identified: equal shares of the moment",
    "output_tokens": "asked for by name: shares by output tokens",
    "total_tokens": "asked for by name: shares by computed positions",
}
COMPONENTS: Final = {
    "steps": "its share of what a step costs whoever is in it, 1/n of each",
    "prefill": "its prompt positions, without those from a cache",
    "decode": "its decoded positions, rejected drafts included",
    "context": "attention over the positions before them",
}
TOLERANCE: Final = 1e-9  # relative, of every check

REQUESTS: Final = "SELECT * FROM requests WHERE {column} = $id ORDER BY started_at"
SPANS: Final = "SELECT count(*) AS spans, max(received_ns) AS newest FROM spans WHERE trace_id = $trace"
ATTEMPTS: Final = "SELECT * FROM attempts WHERE request_id = $id ORDER BY attempt"
SHARES: Final = """
    SELECT started_at, device, attempt, component, joules, variance_j2
    FROM attempt_energy WHERE request_id = $id ORDER BY started_at, device, attempt, component"""
INTERVALS: Final = """
    SELECT started_at, ended_at, device, engine, job, total_j, attributed_j, idle_j, unattributed_j,
           unattributed_reason, predicted_j, scale, residual_j, method, source, scope, quality
    FROM energy_intervals
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)"""
MODELS: Final = """
    SELECT * EXCLUDE (near) FROM (
        SELECT *, row_number() OVER (
            PARTITION BY engine, device, method ORDER BY abs(epoch_ns(fitted_at) - $at)) AS near FROM step_models)
    WHERE near = 1 AND engine IN (SELECT unnest($engines::VARCHAR[]))"""


@dataclass(frozen=True, slots=True)
class Part:
    """One attempt in one interval of one device."""

    attempt: int
    engine: str | None
    device: str
    started_at: datetime
    method: str
    counter_j: float | None  # the device's, all of it
    idle_j: float | None
    engine_j: float | None  # what the engine's work was charged, claimed or not
    unclaimed_j: float | None
    predicted_j: float | None
    scale: float | None
    components: dict[str, float]
    joules: float
    se_j: float | None
    source: str | None
    scope: str | None
    quality: str | None
    seconds: float | None = None
    terms: dict[str, float] | None = None  # what se_j consists of, about; None where nothing says


@dataclass(frozen=True, slots=True)
class Check:
    """Two numbers that must be the same."""

    what: str
    parts: float | None
    whole: float | None

    @property
    def holds(self) -> bool:
        """To rounding; both unknown is the same too."""
        if self.parts is None or self.whole is None:
            return self.parts is self.whole
        return abs(self.parts - self.whole) <= TOLERANCE * max(abs(self.whole), abs(self.parts), 1e-12)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that led to one row of ``requests``."""

    request: Row
    attempts: list[Row]
    parts: list[Part]
    models: list[Row]
    checks: list[Check]

    @property
    def is_partial(self) -> bool:
        """Whether a part of the time that it ran was not metered, so that its joules are too few."""
        coverage = self.request["energy_coverage"]
        return coverage is not None and coverage < WHOLLY

    @property
    def components(self) -> dict[str, float]:
        """Joules by component, over all parts."""
        return {name: sum(part.components.get(name, 0.0) for part in self.parts) for name in COMPONENTS}

    @property
    def methods(self) -> dict[str, float]:
        """Joules by method."""
        names = dict.fromkeys(part.method for part in self.parts)
        return {name: sum(part.joules for part in self.parts if part.method == name) for name in names}

    @property
    def error_terms(self) -> dict[str, float] | None:
        """What the request's error consists of, about, in J: parts err together, so each term is added over them."""
        known = [part.terms for part in self.parts if part.terms is not None]
        if not known or len(known) < len(self.parts):
            return None
        return {name: sum(terms[name] for terms in known) for name in known[0]}

    @property
    def idle_beside_j(self) -> float | None:
        """The idle joules of its intervals in proportion to its part of their active ones; what SCI would add."""
        shares = [_idle_share(part) for part in self.parts]
        known = [share for share in shares if share is not None]
        return sum(known) if len(known) == len(shares) else None


def explain(reader: Reader, request_id: str) -> Explanation:
    """Explain ``request_id`` (a trace id will do where the trace has one request).

    Raises ``StoreError`` when it is unknown, not settled yet or ambiguous; the message says which and what to do.
    """
    request = _request(reader, request_id)
    named = {"id": request["request_id"]}
    attempts = reader.query(ATTEMPTS, named).to_pylist()
    shares = reader.query(SHARES, named).to_pylist()
    intervals = _intervals(reader, shares)
    parts = _parts(shares, attempts, intervals)
    models = _models(reader, parts)
    parts = [replace(part, terms=_terms(part, models)) for part in parts]
    return Explanation(request, attempts, parts, models, _checks(request, attempts, parts, intervals))


def _request(reader: Reader, request_id: str) -> Row:
    column = "request_id" if ":" in request_id else "trace_id"
    rows = reader.query(REQUESTS.format(column=column), {"id": request_id}).to_pylist()
    if len(rows) == 1:
        found: Row = rows[0]
        return found
    if rows:
        raise StoreError(f"trace {request_id} has {len(rows)} requests: name one of {_listed(rows)}")
    spans = reader.query(SPANS, {"trace": request_id.partition(":")[0]}).to_pylist()[0]["spans"]
    if spans:
        raise StoreError(
            f"request {request_id} is not settled yet, or is no call of its trace ({spans} spans are there):"
            " wait for the next pass or POST /v1/settle, then look for the trace in requests"
        )
    raise StoreError(
        f"no request {request_id}, and no span of its trace: list some with"
        " tokenjoule query 'SELECT request_id, energy_j FROM requests ORDER BY started_at DESC LIMIT 10'"
    )


def _listed(rows: list[Row]) -> str:
    names = [str(row["request_id"]) for row in rows]
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _intervals(reader: Reader, shares: list[Row]) -> dict[tuple[datetime, str], list[Row]]:
    """The rows of the intervals that were charged, by start and device."""
    if not shares:
        return {}
    low, high = shares[0]["started_at"], shares[-1]["started_at"]
    rows = reader.query(INTERVALS, {"low": _ns(low), "high": _ns(high)}).to_pylist()
    wanted = {(row["started_at"], row["device"]) for row in shares}
    found: dict[tuple[datetime, str], list[Row]] = {key: [] for key in wanted}
    for row in rows:
        if (row["started_at"], row["device"]) in wanted:
            found[row["started_at"], row["device"]].append(row)
    return found


def _parts(shares: list[Row], attempts: list[Row], intervals: dict[tuple[datetime, str], list[Row]]) -> list[Part]:
    engines = {row["attempt"]: row["engine"] for row in attempts}
    grouped: dict[tuple[datetime, str, int], list[Row]] = {}
    for row in shares:
        grouped.setdefault((row["started_at"], row["device"], row["attempt"]), []).append(row)
    return [_part(key, rows, engines.get(key[2]), intervals[key[0], key[1]]) for key, rows in grouped.items()]


def _part(key: tuple[datetime, str, int], rows: list[Row], engine: str | None, balance: list[Row]) -> Part:
    started_at, device, attempt = key
    own: Row = next((row for row in balance if row["engine"] == engine and row["method"] in METHODS), {})
    variances = [row["variance_j2"] for row in rows]
    stated = None not in variances
    return Part(
        attempt=attempt,
        engine=engine,
        device=device,
        started_at=started_at,
        method=own.get("method", "unknown"),
        counter_j=_sum(row["total_j"] for row in balance) if balance else None,
        idle_j=_sum(row["idle_j"] for row in balance) if balance else None,
        engine_j=own.get("total_j"),
        unclaimed_j=own.get("unattributed_j"),
        predicted_j=own.get("predicted_j"),
        scale=own.get("scale"),
        components={row["component"]: row["joules"] for row in rows},
        joules=_sum(row["joules"] for row in rows),
        se_j=_sum(variances) ** 0.5 if stated else None,
        source=own.get("source"),
        scope=own.get("scope"),
        quality=own.get("quality"),
        seconds=(own["ended_at"] - own["started_at"]).total_seconds() if own else None,
    )


def _terms(part: Part, models: list[Row]) -> dict[str, float] | None:
    """The residual before levelling is what is left of it and what idle energy took or gave."""
    key = (part.engine, part.device, part.method)
    model: Row = next((row for row in models if (row["engine"], row["device"], row["method"]) == key), {})
    usual_j = model.get("residual_rms_j")
    if part.se_j is None or not part.engine_j or part.predicted_j is None or usual_j is None:
        return None
    if part.idle_j is None or part.seconds is None:
        return None
    residual_j = part.engine_j - part.predicted_j + part.idle_j - model["idle_w"] * part.seconds
    share = part.joules / part.engine_j
    return error_terms(part.se_j, part.components.values(), share, residual_j, usual_j)


def _models(reader: Reader, parts: list[Part]) -> list[Row]:
    """Constants stored nearest to the first part, of the devices and methods of the parts."""
    if not parts:
        return []
    engines = sorted({part.engine for part in parts if part.engine is not None})
    rows = reader.query(MODELS, {"at": _ns(parts[0].started_at), "engines": engines}).to_pylist()
    used = {(part.engine, part.device, part.method) for part in parts}
    return [row for row in rows if (row["engine"], row["device"], row["method"]) in used]


def _checks(
    request: Row, attempts: list[Row], parts: list[Part], intervals: dict[tuple[datetime, str], list[Row]]
) -> list[Check]:
    joules = _sum(part.joules for part in parts) if parts else None
    tried = [row["energy_j"] for row in attempts if row["energy_j"] is not None]
    errors = [part.se_j for part in parts]
    stated = None if None in errors or not parts else _sum(error for error in errors if error is not None)
    checks = [Check("attempts' joules = the request's", _sum(tried) if tried else None, request["energy_j"])]
    if parts:
        checks += [
            Check("parts in intervals = the request's joules", joules, request["energy_j"]),
            Check("their standard errors, added = the request's", stated, request["energy_se_j"]),
        ]
    for (started_at, device), rows in sorted(intervals.items(), key=str):
        split = _sum(row["attributed_j"] + row["idle_j"] + row["unattributed_j"] for row in rows)
        checks.append(
            Check(f"{device} {started_at:%H:%M:%S}: attributed + idle + unattributed = counter", split,
                  _sum(row["total_j"] for row in rows))
        )  # fmt: skip
    if request["co2e_g"] is not None and request["grid_g_per_kwh"] is not None:
        grams = request["energy_j"] * (request["pue"] or 1.0) * request["grid_g_per_kwh"] / JOULES_PER_KILOWATT_HOUR
        checks.append(Check("joules × PUE × factor = grams CO2e", grams, request["co2e_g"]))
    return checks


def _idle_share(part: Part) -> float | None:
    if part.counter_j is None or part.idle_j is None:
        return None
    active = part.counter_j - part.idle_j
    return part.idle_j * part.joules / active if active > 0 else 0.0


def _sum(values: Iterable[float]) -> float:
    return float(sum(values))


def _ns(moment: datetime) -> int:
    """Nanoseconds of UTC of a moment without a zone."""
    return round(moment.replace(tzinfo=UTC).timestamp() * 1e6) * 1000
