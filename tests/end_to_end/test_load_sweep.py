"""Joules per token against mean batch follow a + b/B: the physics that the step model rests on, end to end."""

from pathlib import Path

import pytest

from bench.sweep import engine, engine_sweep, fitted, simulated_sweep


def test_the_simulated_h100_follows_the_line_that_it_was_given() -> None:
    """3.1 J per step and 0.068 J per token, plus what contexts cost (about 800 positions at 2e-5 J)."""
    line = fitted(simulated_sweep(80.0))
    assert line.r2 > 0.99
    assert line.b == pytest.approx(3.1, rel=0.1)
    assert line.a == pytest.approx(0.068 + 800 * 2e-5, rel=0.25)


def test_our_own_engine_follows_a_line_too(tmp_path: Path) -> None:
    """Estimated energy (CPU seconds × watts of a busy thread) of a real process with 1 to 16 callers."""
    with engine(tmp_path) as (url, pid):
        points = engine_sweep(url, pid, 1.0)
    line = fitted(points)
    assert points[-1][0] > 4 * points[0][0]
    assert line.r2 > 0.9
    assert line.b > 0
