"""What a step minimises: cross-entropy on answer tokens, and for a distilled model the teacher's distribution too."""

from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from training.library_desk.batches import Batch


@dataclass(frozen=True, slots=True)
class Labels:
    """Cross-entropy with the right answers."""

    def __call__(self, model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
        """Mean loss per answer token, in nats."""
        logits, targets = answer_logits(model, batch)
        return functional.cross_entropy(logits, targets)


@dataclass(frozen=True, slots=True)
class Distillation:
    """Labels and soft targets of a frozen teacher (Hinton et al. 2015): ``(1 − share)·CE + share·T²·KL``.

    The teacher reads only the first ``taught`` part of a batch's rows: its forward pass costs twice the
    student's whole step, and in the same time more labelled tokens help more.
    """

    teacher: LlamaForCausalLM
    share: float = 0.5
    temperature: float = 2.0
    taught: float = 0.35

    def __call__(self, model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
        """Mean loss per answer token, in nats."""
        logits, targets = answer_logits(model, batch)
        with torch.no_grad():
            soft, _ = answer_logits(self.teacher, batch.first_rows(self.taught))
        labels = functional.cross_entropy(logits, targets)
        pupil = functional.log_softmax(logits[: len(soft)] / self.temperature, dim=-1)
        expected = functional.log_softmax(soft / self.temperature, dim=-1)
        divergence = functional.kl_div(pupil, expected, reduction="batchmean", log_target=True)
        return (1 - self.share) * labels + self.share * self.temperature**2 * divergence


def forward(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Logits (rows, length, vocabulary), each exercise computed as if it stood alone."""
    mask = batch.attention_mask()
    output = model(input_ids=batch.ids, position_ids=batch.positions, attention_mask=mask, use_cache=False)
    logits: torch.Tensor = output.logits
    return logits


def answer_logits(model: LlamaForCausalLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """fp32 logits (answer tokens, vocabulary) that predict each answer token, and those tokens' ids."""
    wanted = batch.is_answer[:, 1:]
    return forward(model, batch)[:, :-1][wanted].float(), batch.ids[:, 1:][wanted]


@torch.no_grad()
def answered_right(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Per row of one exercise each: would greedy decoding give the exact answer?

    Under teacher forcing every answer token is the arg-max if and only if greedy decoding finds the whole
    answer, so one forward pass replaces a generation.
    """
    guesses = forward(model, batch)[:, :-1].argmax(dim=-1)
    wrong = (guesses != batch.ids[:, 1:]) & batch.is_answer[:, 1:]
    return ~wrong.any(dim=1)
