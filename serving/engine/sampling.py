"""From logits to tokens: greedy, temperature and top-p, each request with its own seeded stream of random numbers.

A seeded request draws the same tokens whatever shares its batch, up to the rounding of its logits: the random number
comes from the request's own generator and the draw is an inverse cumulative distribution.
"""

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from random import Random

import torch

from serving.engine.request import Sampling

GREEDY_BELOW = 1e-5
NUCLEUS_GUESS = 128


@dataclass(frozen=True, slots=True)
class Sampled:
    """One drawn token; log-probabilities (natural, of the raw logits) when the request wanted them."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens and their log-probabilities, best first."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one request says in a step: one token, more when drafts were right."""

    tokens: list[Sampled]
    skipped: tuple[float, ...] = ()
    """Share of the layers that each of its positions skipped, rejected drafts included; empty: none skipped any."""
    logits: torch.Tensor | None = None
    """``[vocabulary]`` of the last position, where they were asked for."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How one row is drawn."""

    sampling: Sampling
    random: Random


def sample(logits: torch.Tensor, draws: SequenceOf[Draw]) -> list[Sampled]:
    """One token per row of ``logits`` ``[row, vocabulary]``."""
    best: list[int] = logits.argmax(dim=-1).tolist()
    return [_one(logits[row], best[row], draw) for row, draw in enumerate(draws)]


def verify(logits: torch.Tensor, draws: SequenceOf[Draw], drafts: SequenceOf[SequenceOf[int]]) -> list[list[Sampled]]:
    """What each request says: its drafts as long as they are what it draws, then the first token that is not.

    ``logits`` has one row per draft and one more, request by request. Proposals are certain (a distribution with one
    point), for which drawing from the target and comparing is rejection sampling (arXiv 2211.17192, § 2.3): the draft
    is kept with the target's probability of it, and what replaces it follows the rest. Each output token takes one
    random number, so a seeded request draws what it would have drawn without drafts.
    """
    best: list[int] = logits.argmax(dim=-1).tolist()
    said, row = [], 0
    for draw, draft in zip(draws, drafts, strict=True):
        tokens = list[Sampled]()
        for offset, proposed in enumerate((*draft, None)):
            tokens.append(_one(logits[row + offset], best[row + offset], draw))
            if tokens[-1].id != proposed:
                break
        said.append(tokens)
        row += len(draft) + 1
    return said


def _one(logits: torch.Tensor, best: int, draw: Draw) -> Sampled:
    sampling = draw.sampling
    token = _drawn(logits, sampling, draw.random.random()) if sampling.temperature >= GREEDY_BELOW else best
    return _with_logprobs(logits, token, sampling)


def _drawn(logits: torch.Tensor, sampling: Sampling, uniform: float) -> int:
    """The token at which the cumulative probability of the nucleus passes ``uniform`` of its mass."""
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1, dtype=torch.float64)
    if sampling.top_p >= 1.0:
        return _inverse(probabilities.cumsum(0), uniform)
    cumulative, tokens = _nucleus(probabilities, sampling.top_p)
    return int(tokens[_inverse(cumulative, uniform)])


def _nucleus(probabilities: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cumulative probabilities and ids of the smallest set of tokens that holds ``top_p``, best first.

    Most nuclei are small: looking at the likeliest few first is six times faster than sorting all of 32,000.
    """
    for size in (NUCLEUS_GUESS, len(probabilities)):
        ordered, tokens = probabilities.topk(min(size, len(probabilities)))
        cumulative = ordered.cumsum(0)
        if cumulative[-1] >= top_p:
            break
    inside = max(1, int((cumulative - ordered < top_p).sum()))
    return cumulative[:inside], tokens[:inside]


def _inverse(cumulative: torch.Tensor, uniform: float) -> int:
    index = int(torch.searchsorted(cumulative, cumulative[-1] * uniform, right=True))
    return min(index, len(cumulative) - 1)


def _with_logprobs(logits: torch.Tensor, token: int, sampling: Sampling) -> Sampled:
    if sampling.num_logprobs is None:
        return Sampled(token)
    logprobs = torch.log_softmax(logits, dim=-1)
    values, tokens = logprobs.topk(min(sampling.num_logprobs, len(logprobs)))
    return Sampled(token, float(logprobs[token]), tuple(zip(tokens.tolist(), values.tolist(), strict=True)))
