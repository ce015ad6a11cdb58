"""``python -m dashboard.sample DIR``: made-up days of a library's help desk, to look at the dashboard with.

Two tiers, three tenants, a busy afternoon, a cache that fills, retries and failures. Every joule is labelled
``simulated`` unless told otherwise, and balances like real ones: attributed + idle + unattributed = total.
"""

import argparse
import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from analytics.ledger.spending import spent
from conventions.errors import StoreError
from store import schemas
from store.writing import Store

TENANTS: Final = ("reading-room", "archive", "front-desk")
TIERS: Final = {"scout": (0.011, 0.004, 0.45), "expert": (0.046, 0.019, 2.4)}
"""Tier: seconds to the first token, seconds per token, joules per token."""
IDLE_W: Final = 3.0
OVERHEAD_W: Final = 0.6
G_PER_KWH: Final = 481.0  # the world's mean of 2023, as in collector/grid/static.csv
PER_KWH: Final = 0.20
UNCLAIMED: Final = 0.04
"""Joules that engines used and no request claims, per joule that one does."""

Row = dict[str, Any]


@dataclass(slots=True)
class Days:
    """Settled rows of the sample by relation."""

    quality: str
    rows: dict[str, list[Row]] = field(
        default_factory=lambda: {"requests": [], "attempts": [], "attempt_energy": [], "energy_intervals": []}
    )


def library_days(
    end: datetime, hours: float = 48.0, per_minute: float = 6.0, seed: int = 7, quality: str = "simulated"
) -> dict[str, list[Row]]:
    """Rows of the four settled relations for ``hours`` before ``end`` (UTC without a zone)."""
    chance = random.Random(seed)
    days = Days(quality)
    minutes = round(hours * 60)
    for index in range(minutes):
        minute = _minute(end) - timedelta(minutes=minutes - index)
        for _ in range(_poisson(chance, per_minute * _demand(minute))):
            _request(days, chance, minute + timedelta(seconds=chance.uniform(0, 60)), index / minutes)
        _balance(days, minute)
    return days.rows


def write(store: Store, rows: dict[str, list[Row]]) -> None:
    """Settle ``rows`` into ``store`` in one transaction; columns that a row lacks are NULL."""
    tables = {relation: table(relation, listed) for relation, listed in rows.items()}
    store.replace_buckets(tables, {relation: _minutes_ns(listed) for relation, listed in rows.items()})


def settle(store: Store, rows: dict[str, list[Row]]) -> None:
    """Write ``rows`` of the four settled relations as the collector leaves them: with slots of spent energy."""
    tables = {relation: table(relation, listed) for relation, listed in rows.items()}
    slots = spent(*(tables[name] for name in ("attempt_energy", "requests", "attempts", "energy_intervals")))
    minutes = {relation: _minutes_ns(listed) for relation, listed in rows.items()}
    energy = sorted({*minutes["attempt_energy"], *minutes["energy_intervals"]})
    listed = minutes | dict.fromkeys(("attempt_energy", "energy_intervals", "energy_spent"), energy)
    store.replace_buckets(tables | {"energy_spent": slots}, listed)


def table(relation: str, rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table in the relation's schema."""
    schema = schemas.arrow(relation)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def main(arguments: list[str] | None = None) -> int:
    """Write the sample into a new data directory."""
    parser = argparse.ArgumentParser(prog="python -m dashboard.sample", description=main.__doc__)
    parser.add_argument("directory", type=Path, help="a directory without a store in it")
    parser.add_argument("--hours", type=float, default=48.0)
    chosen = parser.parse_args(arguments)
    if any(chosen.directory.glob("*.duckdb")):
        raise StoreError(f"{chosen.directory} has a store already: name an empty directory")
    with Store.open(chosen.directory) as store:
        settle(store, library_days(datetime.now(UTC).replace(tzinfo=None), chosen.hours))
    sys.stdout.write(f"TOKENJOULE_STORE=duckdb:///{chosen.directory.resolve()} python -m dashboard\n")
    return 0


def _request(days: Days, chance: random.Random, started_at: datetime, age: float) -> None:
    tier = "expert" if chance.random() < 0.3 else "scout"
    cacheable = chance.random() < 0.9
    hit = cacheable and chance.random() < 0.08 + 0.22 * age
    failed = not hit and chance.random() < 0.012
    row = _answer(chance, tier, hit, failed) | {
        "request_id": f"{chance.getrandbits(128):032x}:{chance.getrandbits(64):016x}",
        "tenant": chance.choices(TENANTS, (5, 3, 2))[0],
        "tier": tier,
        "model_requested": "library-desk",
        "model_served": None if hit else tier,
        "engine": None if hit else tier,
        "operation": "chat",
        "started_at": started_at,
        "streamed": True,
        "success": not failed,
        "success_basis": "observed",
        "cache_result": ("exact" if hit else "miss") if cacheable else None,
        "route_policy": "complexity",
        "route_reason": "long question" if tier == "expert" else "short question",
    }
    row["trace_id"] = row["request_id"].split(":")[0]
    row["ended_at"] = started_at + timedelta(seconds=row["e2e_s"])
    retried = not hit and chance.random() < 0.02
    _spend(days, chance, row, tries=0 if hit else 2 if retried else 1)


def _answer(chance: random.Random, tier: str, hit: bool, failed: bool) -> Row:
    """Tokens and times of one answer."""
    first_s, per_token_s, _ = TIERS[tier]
    tokens = 0 if failed else 4 + int(chance.lognormvariate(3.2, 0.6))
    queue_s = chance.expovariate(1 / 0.004)
    ttft_s = 0.0009 if hit else queue_s + first_s * chance.lognormvariate(0.0, 0.35)
    gaps_s = [] if hit else [per_token_s * chance.lognormvariate(0.0, 0.25) for _ in range(tokens - 1)]
    return {
        "input_tokens": 18 + int(chance.lognormvariate(3.4, 0.5)),
        "output_tokens": tokens,
        "cached_input_tokens": 0 if hit else 16,
        "queue_s": None if hit else queue_s,
        "prefill_s": None if hit else ttft_s - queue_s,
        "decode_s": None if hit else sum(gaps_s),
        "ttft_s": None if failed else ttft_s,
        "first_token_origin": None if failed else "gateway" if hit else "engine",
        "tpot_s": sum(gaps_s) / len(gaps_s) if gaps_s else None,
        "itl_s": gaps_s or None,
        "e2e_s": ttft_s + sum(gaps_s) + 0.0012,
        "finish_reason": None if failed else "stop",
        "error_type": "upstream_timeout" if failed else None,
    }


def _spend(days: Days, chance: random.Random, request: Row, tries: int) -> None:
    per_token_j = TIERS[request["tier"]][2]
    joules = 0.0
    for number in range(1, tries + 1):
        answered = request["success"] and number == tries
        work = request["output_tokens"] if answered else 6
        decode_j = per_token_j * work * chance.lognormvariate(0.0, 0.12)
        prefill_j = 0.02 * per_token_j * request["input_tokens"]
        joules += decode_j + prefill_j
        _attempt(days, request, number, answered, prefill_j, decode_j)
    request |= {"energy_j": joules, "energy_se_j": 0.04 * joules, "energy_quality": days.quality}
    request |= _charged(joules)
    days.rows["requests"].append(request | {"cost": request["cost_energy"]})


def _attempt(days: Days, request: Row, number: int, answered: bool, prefill_j: float, decode_j: float) -> None:
    key = {"request_id": request["request_id"], "attempt": number, "started_at": request["started_at"]}
    days.rows["attempts"].append(
        key
        | {name: request[name] for name in ("engine", "ended_at", "input_tokens", "cached_input_tokens")}
        | {
            "model": request["model_served"],
            "outcome": "answered" if answered else "failed",
            "output_tokens": request["output_tokens"] if answered else 0,
            "error_type": None if answered else "upstream_timeout",
            "energy_j": prefill_j + decode_j,
            "energy_se_j": 0.04 * (prefill_j + decode_j),
        }
    )
    for component, joules in (("prefill", prefill_j), ("decode", decode_j)):
        days.rows["attempt_energy"].append(
            key | {"device": "gpu0", "started_at": _minute(key["started_at"]), "component": component, "joules": joules}
        )


def _balance(days: Days, begun: datetime) -> None:
    """The energy interval of the minute whose requests were written last."""
    attributed = math.fsum(row["joules"] for row in _last(days.rows["attempt_energy"], begun))
    unclaimed = UNCLAIMED * attributed
    shares = (
        ("scout", attributed, 0.0, unclaimed, "unclaimed"),
        (None, 0.0, IDLE_W * 60.0, OVERHEAD_W * 60.0, "overhead"),
    )
    for engine, used, idle, unattributed, reason in shares:
        days.rows["energy_intervals"].append(
            {
                "device": "gpu0",
                "engine": engine,
                "started_at": begun,
                "ended_at": begun + timedelta(minutes=1),
                "total_j": used + idle + unattributed,
                "attributed_j": used,
                "idle_j": idle,
                "unattributed_j": unattributed,
                "unattributed_reason": reason,
                "method": "counters_affine",
                "source": "model",
                "scope": "gpu",
                "quality": days.quality,
            }
            | _charged(used + idle + unattributed)
        )


def _charged(joules: float) -> Row:
    """What joules weigh and cost at assumed, constant figures."""
    return {
        "co2e_g": joules * G_PER_KWH / 3.6e6,
        "cost_energy": joules * PER_KWH / 3.6e6,
        "currency": "USD",
        "price_source": "assumed",
        "pue": 1.0,
        "grid_zone": "WORLD",
        "grid_g_per_kwh": G_PER_KWH,
        "grid_basis": "average",
        "grid_source": "static",
        "grid_year": 2023,
        "grid_estimated": True,
    }


def _last(rows: Sequence[Row], begun: datetime) -> Iterable[Row]:
    for row in reversed(rows):
        if row["started_at"] < begun:
            return
        yield row


def _demand(moment: datetime) -> float:
    """Relative traffic: quiet at night, busy in the afternoon."""
    hour = moment.hour + moment.minute / 60
    return 0.25 + 1.5 * math.exp(-(((hour - 15.0) / 4.5) ** 2))


def _poisson(chance: random.Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _minutes_ns(rows: Sequence[Row]) -> list[int]:
    epoch = datetime(1970, 1, 1)
    return sorted({(_minute(row["started_at"]) - epoch) // timedelta(microseconds=1) * 1000 for row in rows})


if __name__ == "__main__":
    sys.exit(main())
