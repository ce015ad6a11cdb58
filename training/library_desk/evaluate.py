"""Exact-match accuracy of a saved model on held-out exercises, by real greedy generation."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from conventions.errors import TokenjouleError
from training.library_desk import exits, shape
from training.library_desk.exercise import MAX_ANSWER_TOKENS, Exercise

_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers out of all asked."""

    right: int
    asked: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked


def evaluate(folder: Path, exercises: list[Exercise], depth: int | None = None) -> dict[str, Score]:
    """Scores under ``family/difficulty`` and, over all families, ``all/difficulty``.

    With ``depth``, of the exit after so many layers, every token taken there.
    """
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for exercise, reply in zip(exercises, replies(folder, exercises, depth), strict=True):
        right = exercise.is_answered_by(reply)
        outcomes[f"{exercise.family}/{exercise.difficulty}"].append(right)
        outcomes[f"all/{exercise.difficulty}"].append(right)
    return {name: Score(sum(flags), len(flags)) for name, flags in sorted(outcomes.items())}


def replies(folder: Path, exercises: list[Exercise], depth: int | None = None) -> list[str]:
    """What the model in ``folder`` says, greedily and in fp32, batched with padding on the left."""
    model = shape.load(folder)
    if depth is not None:
        model = _cut(model, depth)
    tokenizer = cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(folder, padding_side="left"))
    texts: list[str] = []
    for start in range(0, len(exercises), _BATCH):
        texts += _generate(model, tokenizer, exercises[start : start + _BATCH])
    return texts


def _cut(model: LlamaForCausalLM, depth: int) -> LlamaForCausalLM:
    if depth not in (known := exits.attached(model)):
        raise TokenjouleError(f"no exit after {depth} layers: choose from {sorted(known)}, or leave out --exit")
    return exits.cut(model, depth)


@torch.inference_mode()
def _generate(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, exercises: list[Exercise]) -> list[str]:
    chats = [exercise.prompt for exercise in exercises]
    texts = [str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)) for chat in chats]
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    ids, mask = cast(torch.Tensor, inputs["input_ids"]), cast(torch.Tensor, inputs["attention_mask"])
    # Any: transformers types `generate` for a protocol that its own models do not match.
    output = cast(Any, model).generate(ids, attention_mask=mask, max_new_tokens=MAX_ANSWER_TOKENS, do_sample=False)
    return list(tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True))


def table(scores: dict[str, Score]) -> str:
    """Plain text: one line per family and difficulty."""
    return "\n".join(_lines(scores.items()))


def _lines(scores: Iterable[tuple[str, Score]]) -> Iterable[str]:
    for name, score in scores:
        yield f"{name:<18} {score.accuracy:7.1%}  ({score.right}/{score.asked})"
