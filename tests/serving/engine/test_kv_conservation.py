"""Free + used = all, of slots and positions, after any order of admissions and releases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.kv import KvCache, KvShape, Move, Slots

law = settings(deadline=None, max_examples=100)

NUM_SLOTS, NUM_POSITIONS = 5, 40
operations = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 15)), max_size=60)


@law
@given(operations)
def test_conservation_and_density_hold_after_every_operation(steps: list[tuple[int, int]]) -> None:
    """An operation names a request: it is released when it runs and admitted, if it fits, when it does not."""
    slots, held, memory = Slots(NUM_SLOTS, NUM_POSITIONS), dict[str, int](), dict[int, str]()
    for number, positions in steps:
        name = f"r{number}"
        if name in held:
            del held[name], memory[slots.slot_of(name)]
            if move := slots.release(name):
                memory[move.target] = memory.pop(move.source)
        elif slots.can_allocate(positions):
            memory[slots.allocate(name, positions)] = name
            held[name] = positions
        slots.check()
        assert slots.free_slots + len(held) == NUM_SLOTS
        assert slots.free_positions + sum(held.values()) == NUM_POSITIONS
        assert sorted(memory) == list(range(len(held))), "slots are dense"
        assert all(memory[slots.slot_of(one)] == one for one in held), "states followed the moves"


@law
@given(operations)
def test_cached_positions_are_neither_free_nor_used(steps: list[tuple[int, int]]) -> None:
    """An operation with an even number caches or gives back, one with an odd number admits or releases."""
    slots, held = Slots(NUM_SLOTS, NUM_POSITIONS), dict[str, int]()
    for number, positions in steps:
        name = f"r{number}"
        if number % 2 == 0:
            slots.cache(positions if positions <= slots.free_positions else -slots.cached_positions)
        elif name in held:
            del held[name]
            slots.release(name)
        elif slots.can_allocate(positions):
            slots.allocate(name, positions)
            held[name] = positions
        slots.check()
        assert slots.free_positions + sum(held.values()) + slots.cached_positions == NUM_POSITIONS


def test_saved_states_are_restored_into_another_slot() -> None:
    kv = KvCache(KvShape(2, 3, 4), 4, 12, torch.float32, torch.device("cpu"), num_blocks=5, block_size=2)
    states = torch.randn(2, *kv.keys.shape)
    kv.keys.copy_(states[0])
    kv.values.copy_(states[1])
    kv.save(1, 4, [3, 0])
    kv.restore(2, [0, 3])
    assert torch.equal(kv.keys[:, 2, :, :4], states[0][:, 1, :, [6, 7, 4, 5]])
    assert torch.equal(kv.values[:, 2, :, :4], states[1][:, 1, :, [6, 7, 4, 5]])
    assert torch.equal(kv.keys[:, 2, :, 4:], states[0][:, 2, :, 4:])


def test_can_allocate_says_no_when_slots_or_positions_run_out() -> None:
    slots = Slots(2, 10)
    assert not slots.can_allocate(11)
    slots.allocate("a", 6)
    assert not slots.can_allocate(5)
    slots.allocate("b", 4)
    assert not slots.can_allocate(0)
    with pytest.raises(AssertionError, match="beyond"):
        slots.allocate("c", 0)


def test_written_states_are_read_back_and_follow_a_move() -> None:
    kv = KvCache(KvShape(num_layers=2, num_heads=3, head_dim=4), 4, 6, torch.float32, torch.device("cpu"))
    keys, values = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    kv.write(1, kv.rows(torch.tensor([3, 0]), torch.tensor([5, 2])), keys, values)
    assert torch.equal(kv.keys[1, 3, :, 5], keys[0])
    assert torch.equal(kv.values[1, 0, :, 2], values[1])
    kv.move(Move(source=3, target=2), num_positions=6)
    assert torch.equal(kv.values[1, 2, :, 5], values[0])
    assert not kv.keys[0].any()
