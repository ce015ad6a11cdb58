"""What the NVML probe counts is what the board used, up to one step of its counter at each end."""

import itertools
from collections import defaultdict

import pynvml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.nvml.curve import Board, Failure
from collector.sampling.sample import Sample
from tests.collector.emulated_nvml import emulated, energy, probing

ROUNDING_J = 0.003  # the counter is whole millijoules
WATTS = st.floats(5.0, 1000.0)
FAILURES = st.sampled_from(
    [
        pynvml.NVML_ERROR_TIMEOUT,
        pynvml.NVML_ERROR_UNKNOWN,
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_NO_PERMISSION,
    ]
)
BIG = 1e12  # a counter that has run for long, so that a reset is seen whenever it comes


@st.composite
def curves(draw: st.DrawFn, uuid: str) -> Board:
    """Bursts, squares and constants with everything that may happen to a board."""
    count = draw(st.integers(1, 8))
    lengths = [draw(st.floats(0.004, 3.0)) for _ in range(count)]
    starts = [sum(lengths[:index]) for index in range(count)]
    outages = []
    for _ in range(draw(st.integers(0, 2))):
        start_s = draw(st.floats(1.0, 18.0))
        outages.append(Failure("energy", start_s, start_s + draw(st.floats(0.1, 3.0)), draw(FAILURES)))
    return Board(
        uuid,
        [(start_s, draw(WATTS)) for start_s in starts],
        repeat_s=draw(st.sampled_from([0.0, sum(lengths)])),
        resets_s=draw(st.lists(st.floats(1.0, 19.0), max_size=1)),
        failures=outages,
        settings={
            "refresh_ms": draw(st.sampled_from([10, 20, 50, 100])),
            "base_mj": BIG,
            "mig": draw(st.integers(0, 7)),
        },
    )


def series(readings: list[tuple[float, Sample]]) -> dict[int | None, list[tuple[float, float]]]:
    found = defaultdict(list)
    for now_s, sample in readings:
        found[sample.start_ns].append((now_s, sample.value))
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_series_is_the_true_energy_within_the_refresh_period(data: st.DataObject) -> None:
    boards = [data.draw(curves(f"GPU-{number}")) for number in range(data.draw(st.integers(1, 3)))]
    times = sorted(data.draw(st.lists(st.floats(0.0, 20.0), min_size=2, max_size=25, unique=True)))
    readings = defaultdict(list)
    with emulated(*boards) as clock, probing() as probe:
        for now_s in times:
            clock.set(now_s)
            for device, sample in energy(probe.read()).items():
                readings[device].append((now_s, sample))
    for board in boards:
        bound_j = board.peak_w * board.settings["refresh_ms"] * 1e-3 + ROUNDING_J
        for points in series(readings[board.uuid]).values():
            for (start_s, start_j), (end_s, end_j) in itertools.pairwise(points):
                assert end_j >= start_j
                assert abs(end_j - start_j - board.energy_j(start_s, end_s)) <= bound_j
            (first_s, first_j), (last_s, last_j) = points[0], points[-1]
            assert abs(last_j - first_j - board.energy_j(first_s, last_s)) <= bound_j


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_series_spans_a_driver_reload(data: st.DataObject) -> None:
    board = Board("GPU-a", [(0.0, data.draw(WATTS))])
    start_s = data.draw(st.floats(1.0, 10.0))
    end_s = start_s + data.draw(st.floats(0.01, 5.0))
    times = sorted(data.draw(st.lists(st.floats(0.0, 20.0), min_size=2, max_size=25, unique=True)))
    readings = []
    with emulated(board, reloads_s=[(start_s, end_s)]) as clock, probing() as probe:
        for now_s in times:
            clock.set(now_s)
            readings += [(now_s, sample) for sample in energy(probe.read()).values()]
    for points in series(readings).values():
        assert all(now_s < start_s for now_s, _ in points) or all(now_s >= end_s for now_s, _ in points)
