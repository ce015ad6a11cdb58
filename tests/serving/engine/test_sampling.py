"""Draws: greedy, nucleus, seeds, and log-probabilities of the raw logits."""

from collections import Counter
from random import Random

import pytest
import torch

from serving.engine.request import Sampling
from serving.engine.sampling import Draw, sample

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, -9.0]])


def drawn(sampling: Sampling, times: int = 4000) -> Counter[int]:
    draw = Draw(sampling, Random(7))
    return Counter(sample(LOGITS, [draw])[0].id for _ in range(times))


def test_temperature_zero_takes_the_best() -> None:
    assert drawn(Sampling(temperature=0.0), 5) == {0: 5}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_softmax(temperature: float) -> None:
    counts = drawn(Sampling(temperature=temperature))
    expected = torch.softmax(LOGITS[0] / temperature, dim=0)
    for token, probability in enumerate(expected.tolist()):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    """Probabilities are 0.64, 0.24, 0.09, 0.03: 0.64 alone reaches 0.6, two are needed for 0.7."""
    assert set(drawn(Sampling(top_p=0.6), 400)) == {0}
    assert set(drawn(Sampling(top_p=0.7), 400)) == {0, 1}


def test_a_seeded_request_draws_the_same_whatever_shares_its_batch() -> None:
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    seeded = Sampling(temperature=1.0, top_p=0.9, seed=11)
    others = [Draw(Sampling(), Random()) for _ in range(5)]
    alone = [sample(rows[:1], [Draw(seeded, Random(seed))])[0].id for seed in range(20)]
    together = [sample(rows, [Draw(seeded, Random(seed)), *others])[0].id for seed in range(20)]
    assert alone == together


def test_logprobs_are_of_the_raw_logits_best_first() -> None:
    token = sample(LOGITS, [Draw(Sampling(temperature=0.0, num_logprobs=3), Random())])[0]
    expected = torch.log_softmax(LOGITS[0], dim=0).tolist()
    assert token.logprob == pytest.approx(expected[0])
    assert [one for one, _ in token.top] == [0, 1, 2]
    assert [value for _, value in token.top] == pytest.approx(expected[:3])


def test_no_logprobs_unless_asked() -> None:
    token = sample(LOGITS, [Draw(Sampling(temperature=0.0), Random())])[0]
    assert token.logprob is None
    assert token.top == ()
