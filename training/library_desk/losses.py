"""What a step minimises: cross-entropy on answer tokens, and for a distilled model the teacher's distribution too."""

from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from training.library_desk import exits
from training.library_desk.batches import Batch

Depth = int
"""Layers that an answer took: all of the model's, or as many as lie before an exit."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Cross-entropy with the right answers, at the end and with a smaller weight at every exit."""

    exit_weight: float = 0.2

    def __call__(self, model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
        """Mean loss per answer token, in nats."""
        logits, targets = answer_logits_by_depth(model, batch)
        losses = {depth: functional.cross_entropy(own, targets) for depth, own in logits.items()}
        full = losses.pop(full_depth(model))
        return torch.stack([full, *(self.exit_weight * early for early in losses.values())]).sum()


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


def answer_logits(model: LlamaForCausalLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """fp32 logits (answer tokens, vocabulary) that predict each answer token, and those tokens' ids."""
    logits, targets = answer_logits_by_depth(model, batch)
    return logits[full_depth(model)], targets


def full_depth(model: LlamaForCausalLM) -> Depth:
    """All layers."""
    return int(model.config.num_hidden_layers)


def answer_logits_by_depth(model: LlamaForCausalLM, batch: Batch) -> tuple[dict[Depth, torch.Tensor], torch.Tensor]:
    """``answer_logits`` of each exit and of the whole model, and the targets.

    Each exercise is computed as if it stood alone, and the head only where an answer is: a seventh of all positions.
    """
    wanted, early = batch.is_answer[:, 1:], exits.attached(model)
    output = model.model(
        input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.attention_mask(), use_cache=False,
        output_hidden_states=bool(early),
    )  # fmt: skip
    states = {k: norm(output.hidden_states[k][:, :-1][wanted]) for k, norm in early.items()}
    states[full_depth(model)] = output.last_hidden_state[:, :-1][wanted]
    logits = {depth: model.lm_head(state).float() for depth, state in states.items()}
    return logits, batch.ids[:, 1:][wanted]


@torch.no_grad()
def answered_right(model: LlamaForCausalLM, batch: Batch) -> dict[Depth, torch.Tensor]:
    """Per row of one exercise each and by depth: would greedy decoding give the exact answer?

    Under teacher forcing every answer token is the arg-max if and only if greedy decoding finds the whole
    answer, so one forward pass replaces a generation.
    """
    logits, targets = answer_logits_by_depth(model, batch)
    row_of_token = batch.is_answer[:, 1:].nonzero()[:, 0]
    wrong = {depth: row_of_token[own.argmax(dim=-1) != targets] for depth, own in logits.items()}
    right = torch.ones(len(batch.ids), dtype=torch.bool)
    return {depth: right.index_fill(0, rows, False) for depth, rows in wrong.items()}
