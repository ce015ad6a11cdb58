"""Carries grams and money to requests: the charges of a request's active joules, and the price of its tokens.

A request is charged for the joules that are attributed to it (``energy_j``); idle, overhead and unattributed joules
have charges of their own in ``energy_intervals``, and idle policies share them out in metrics. A cost that the emitter
reported is taken as the price of the tokens. Money of two currencies is never added.
"""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.intervals import LABELS, SUMS, PerJoule
from analytics.charges.prices import Prices
from conventions.units import JOULES_PER_KILOWATT_HOUR

REPORTED: Final = "reported"
PRICED: Final = "priced"
CACHE_HITS: Final = ("exact", "semantic")
MILLION: Final = 1e6
CHARGED: Final = pa.schema(
    [
        *((name, pa.float64()) for name in SUMS),
        *(("cost_tokens", pa.float64()), ("cost_basis", pa.string())),
        *(field for field in LABELS if field.name != "currency"),
    ]
)
"""The columns of ``requests`` that charging fills, beside ``cost`` and ``currency``, which may come with the spans."""
_COUNTED: Final = pc.ScalarAggregateOptions(skip_nulls=False)


def with_energy_charges(requests: pa.Table, energy: pa.Table, rates: PerJoule) -> pa.Table:
    """``requests`` with the charges of ``energy``, all their rows of ``attempt_energy`` as charged by ``rates``.

    NULL where a part of the joules has no known factor; zero for a request that used none.
    """
    grouped = energy.select(["request_id", "joules", "factor", *SUMS]).group_by("request_id")
    summed = grouped.aggregate([*((name, "sum", _COUNTED) for name in ("joules", *SUMS)), ("factor", "max")])
    found = _looked_up(requests, summed)
    labels = rates.labels.take(found["factor_max"].combine_chunks())
    free = pc.and_(pc.is_valid(requests["energy_j"]), pc.equal(requests["energy_j"], 0.0))
    for name in SUMS:
        known = pc.if_else(pc.fill_null(free, False), 0.0, found[f"{name}_sum"])
        requests = _put(requests, name, known)
    for name in LABELS.names:
        if name != "currency":
            requests = _put(requests, name, labels[name])
    estimated = _any_estimated(requests, energy, rates)
    requests = _put(requests, "grid_estimated", pc.if_else(pc.is_valid(labels["grid_zone"]), estimated, None))
    kwh = pc.multiply(pc.divide(found["joules_sum"], JOULES_PER_KILOWATT_HOUR), labels["pue"])
    mean = pc.divide(requests["co2e_g"], pc.if_else(pc.greater(kwh, 0.0), kwh, None))
    return _put(requests, "grid_g_per_kwh", mean)


def with_cost(requests: pa.Table, prices: Prices | None) -> pa.Table:
    """``requests`` with the price of their tokens, and ``cost`` as the sum of the components that are known."""
    if prices:
        requests = _priced(requests, prices)
    own = pc.is_null(requests["currency"])
    if prices:
        own = pc.or_(own, pc.fill_null(pc.equal(requests["currency"], prices.currency), False))
    for name in ("cost_energy", "cost_device"):
        requests = _put(requests, name, pc.if_else(own, requests[name], None))
    parts = [requests[name] for name in ("cost_energy", "cost_device", "cost_tokens")]
    known = pc.or_(pc.or_(pc.is_valid(parts[0]), pc.is_valid(parts[1])), pc.is_valid(parts[2]))
    total = pc.add(pc.add(*(pc.fill_null(part, 0.0) for part in parts[:2])), pc.fill_null(parts[2], 0.0))
    requests = _put(requests, "cost", pc.if_else(known, total, None))
    if prices:
        currency = pc.if_else(known, pc.coalesce(requests["currency"], prices.currency), requests["currency"])
        requests = _put(requests, "currency", currency)
    return requests


def with_reported_cost(requests: pa.Table) -> pa.Table:
    """``requests`` as settled or as stored, before they are charged: a cost that came with the spans named as such.

    It is what the tokens cost, in the emitter's currency. A stored cost that we charged has a component or a basis.
    """
    charged = pc.or_(pc.is_valid(requests["cost_energy"]), pc.is_valid(requests["cost_device"]))
    named = pc.or_(charged, pc.is_valid(requests["cost_basis"]))
    fresh = pc.and_(pc.invert(named), pc.is_valid(requests["cost"]))
    requests = _put(requests, "cost_tokens", pc.if_else(fresh, requests["cost"], requests["cost_tokens"]))
    return _put(requests, "cost_basis", pc.if_else(fresh, REPORTED, requests["cost_basis"]))


def _priced(requests: pa.Table, prices: Prices) -> pa.Table:
    if not prices.tokens:
        return requests
    models = pc.coalesce(requests["model_served"], requests["model_requested"]).combine_chunks()
    named = pc.unique(models)
    found = [prices.of_model(name) for name in named.to_pylist()]
    place = pc.index_in(models, value_set=named)
    rates = [
        pa.array([one and figure(one) for one in found], pa.float64()).take(place)
        for figure in (
            lambda one: one.input_per_million,
            lambda one: _cached(one),
            lambda one: one.output_per_million,
        )
    ]
    cached = pc.fill_null(requests["cached_input_tokens"], 0)
    counts = (pc.subtract(requests["input_tokens"], cached), cached, requests["output_tokens"])
    terms = [pc.multiply(rate, pc.cast(count, pa.float64())) for rate, count in zip(rates, counts, strict=True)]
    bought = pc.divide(pc.add(pc.add(terms[0], terms[1]), terms[2]), MILLION)
    hit = pc.fill_null(pc.is_in(requests["cache_result"], value_set=pa.array(CACHE_HITS)), False)
    bought = pc.if_else(pc.and_(hit, pc.is_valid(rates[0])), 0.0, bought)
    due = pc.and_(pc.not_equal(pc.fill_null(requests["cost_basis"], ""), REPORTED), pc.is_valid(bought))
    requests = _put(requests, "cost_tokens", pc.if_else(due, bought, requests["cost_tokens"]))
    requests = _put(requests, "price_source", pc.if_else(due, prices.source, requests["price_source"]))
    requests = _put(requests, "currency", pc.if_else(due, prices.currency, requests["currency"]))
    return _put(requests, "cost_basis", pc.if_else(due, PRICED, requests["cost_basis"]))


def _cached(price: Any) -> float:
    stated: float | None = price.cached_input_per_million
    own: float = price.input_per_million
    return own if stated is None else stated


def _any_estimated(requests: pa.Table, energy: pa.Table, rates: PerJoule) -> pa.Array:
    flags = pc.fill_null(rates.labels["grid_estimated"].combine_chunks(), False).take(energy["factor"].combine_chunks())
    marked = energy.select(["request_id"]).append_column("estimated", pc.cast(flags, pa.int8()))
    found = _looked_up(requests, marked.group_by("request_id").aggregate([("estimated", "max")]))
    return pc.equal(found["estimated_max"], 1)


def _looked_up(requests: pa.Table, found: pa.Table) -> pa.Table:
    place = pc.index_in(requests["request_id"], value_set=found["request_id"].combine_chunks())
    return found.take(place.combine_chunks())


def _put(rows: pa.Table, name: str, values: Any) -> pa.Table:
    place = rows.column_names.index(name)
    kind = rows.schema.field(name).type
    return rows.set_column(place, rows.schema.field(name), values.cast(kind))
