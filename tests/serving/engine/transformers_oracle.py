"""What unbatched greedy ``transformers`` says, and how close its two best tokens were."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

TIE = 1e-4
"""Two logits this close may be ordered either way by the rounding of another summation order."""


@dataclass(frozen=True)
class Expected:
    """A greedy continuation; ``margins[i]``: best minus second best logit at token i."""

    tokens: list[int]
    margins: list[float]

    def is_tie_at_first_difference(self, tokens: Sequence[int]) -> bool:
        """Whether the first token that differs is excused; asserts that one differs."""
        at = next(i for i, (ours, theirs) in enumerate(zip(tokens, self.tokens, strict=True)) if ours != theirs)
        return self.margins[at] < TIE


class Oracle:
    """A checkpoint in float32, as transformers runs it."""

    def __init__(self, folder: Path) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def greedy(self, prompt: Sequence[int], count: int) -> Expected:
        """``count`` tokens after the prompt, end tokens not respected."""
        with torch.inference_mode():
            answer = self._model.generate(
                torch.tensor([list(prompt)]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=count, min_new_tokens=count, do_sample=False, eos_token_id=None,
                output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
        best = torch.cat(answer.logits).topk(2, dim=-1).values
        return Expected(answer.sequences[0, len(prompt) :].tolist(), (best[:, 0] - best[:, 1]).tolist())
