"""Invariant 7 (energy.md §3.5): more computed tokens never lower one's own share, other things equal.

Exact where work becomes joules: within an export of the counters, and in an interval's split. Between the two lies when
the work was done, which nobody counted: there it holds within a bound (``docs/ledger.md``).
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from analytics.ledger.claims import Claims, Ticks, reconcile, summed
from analytics.ledger.components import DECODE, NUM_COMPONENTS, PREFILL, STEPS
from analytics.ledger.evidence import Evidence
from analytics.ledger.fitting import Fit
from analytics.ledger.placement import Placed
from analytics.ledger.split import Doubt, split
from conventions import instruments
from tests.laws.accounts import EXACT, lawful, nanoseconds, per_attempt
from tests.laws.worlds import World, with_values, worlds

positive = st.floats(0.0, 1e4, allow_subnormal=False)
five = st.lists(positive, min_size=NUM_COMPONENTS, max_size=NUM_COMPONENTS)


def with_tokens(world: World, more: int) -> World:
    """The first attempt made so many tokens more in the same time."""
    attempts = world.inputs.attempts
    output = attempts["output_tokens"].to_numpy().copy()
    output[0] += more
    place = attempts.column_names.index("output_tokens")
    return world.but(attempts=attempts.set_column(place, "output_tokens", pa.array(output)))


def counting(world: World, more: int) -> World:
    """The engine of the first attempt counts so many tokens more, evenly while that decodes."""
    points, attempts = world.inputs.points, world.inputs.attempts
    first, end = (nanoseconds(attempts[name])[0] for name in ("first_token_at", "ended_at"))
    share = np.clip((points["time_ns"].to_numpy() - first) / max(end - first, 1), 0.0, 1.0)
    names = pa.array([instruments.ENGINE_DECODE_TOKENS.name, instruments.ENGINE_GENERATED_TOKENS.name])
    its = pc.fill_null(pc.equal(points["engine"], attempts["engine"][0]), False)
    counted = pc.and_(pc.is_in(points["metric"], value_set=names), its).to_numpy()
    return world.but(points=with_values(points, points["value"].to_numpy() + counted * more * share))


def joules_of_the_first(world: World) -> float:
    name = world.inputs.attempts["request_id"][0].as_py()
    return sum(joules for (owner, _), joules in per_attempt(world.attributed()).items() if owner == name)


one_tick = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6)


@lawful
@given(one_tick, st.integers(0, 600), st.integers(0, 100), st.integers(1, 50), st.booleans())
def test_07_within_an_export_more_tokens_never_get_a_smaller_part(
    drawn: list[tuple[int, int, int]], counted: int, steps: int, more: int, generated: bool
) -> None:
    """Whatever was counted, and whatever others claim of it: exact."""
    parts = np.zeros((len(drawn), NUM_COMPONENTS))
    parts[:, [PREFILL, DECODE, STEPS]] = drawn
    increments = np.full((1, NUM_COMPONENTS), np.nan)
    increments[0, [PREFILL, DECODE, STEPS]] = counted, counted, steps
    valid, never = np.ones(1, np.bool_), np.zeros(1, np.bool_)
    ticks = Ticks(np.array([0.0, 1.0]), increments, np.full(1, np.nan), valid, never, generated)
    numbers, cells = np.arange(len(drawn)), np.zeros(len(drawn), np.int64)

    def own(raised: int) -> Any:
        claimed = parts.copy()
        claimed[0, DECODE] += raised
        return reconcile(Claims(numbers, cells, claimed, parts[:, STEPS]), np.zeros(1, np.int64), ticks)[0].parts[0]

    assert (own(more) >= own(0) * (1 - EXACT) - EXACT).all()


@lawful
@given(st.lists(five, min_size=2, max_size=6), five, five, five, positive)
def test_07_within_an_interval_more_work_never_pays_less(
    parts: list[list[float]], unclaimed: list[float], more: list[float], constants: list[float], active: float
) -> None:
    """Work that was counted with its claim, of any component, whatever it costs and whoever else ran: exact."""
    nothing = Doubt(np.zeros(1, np.bool_), np.zeros(1), np.zeros(1))

    def own(raised: float) -> float:
        claimed = np.array(parts)
        claimed[0] += raised * np.array(more)
        where = np.zeros(len(claimed), np.int64)
        rest = np.array([unclaimed])
        placed = Placed(np.arange(len(claimed)), where, claimed)
        evidence = Evidence(summed(where, claimed, 1) + rest, rest, placed, np.ones(1, np.bool_))
        (share,), _ = split(np.array([active]), (evidence,), Fit(np.array([constants])), nothing)
        return float(share.joules[0].sum())

    assert own(1.0) >= own(0.0) * (1 - 1e-9)


@lawful
@given(worlds(), st.integers(1, 50))
def test_07_more_tokens_that_were_counted_cost_no_less_but_for_when_they_were_made(world: World, more: int) -> None:
    """They are counted evenly while the engine's steps are not: what nobody claims of them then is nobody's."""
    assert joules_of_the_first(counting(with_tokens(world, more), more)) >= joules_of_the_first(world) * 0.95


@lawful
@given(worlds(), st.integers(1, 50))
def test_07_tokens_that_nobody_counted_cost_no_less_but_for_where_an_export_puts_them(world: World, more: int) -> None:
    """A span says more than its engine: what exports lend each other then changes, within a hundredth."""
    assert joules_of_the_first(with_tokens(world, more)) >= joules_of_the_first(world) * 0.99
