"""What moves the weights: AdamW for all, or Muon for the matrices between layers and AdamW for embedding and norms.

Muon (Jordan et al. 2024) makes each step's momentum orthogonal, so that rare directions, such as those of a copying
head that is only beginning to form, move as far as common ones. With its steps scaled to AdamW's size (Liu et al.
2025, "Muon is scalable for LLM training") both take the same learning rate and weight decay.
"""

from typing import Any, Final, cast

import torch

from training.library_desk.recipe import Recipe

_MOMENTUM: Final = 0.95


class Optimizer:
    """Every weight of ``model`` under one learning rate, moved as ``recipe.optimizer`` says."""

    def __init__(self, model: torch.nn.Module, recipe: Recipe) -> None:
        weights = dict(model.named_parameters())
        matrices = {name for name, one in weights.items() if recipe.optimizer == "muon" and _lies_between(name, one)}
        others = [one for name, one in weights.items() if name not in matrices]
        lr, decay = recipe.peak_lr, recipe.weight_decay
        self._parts: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(others, lr=lr, betas=recipe.betas, weight_decay=decay, fused=True)
        }
        if matrices:
            listed = [weights[name] for name in weights if name in matrices]
            self._parts["muon"] = torch.optim.Muon(
                listed, lr, decay, momentum=_MOMENTUM, adjust_lr_fn="match_rms_adamw"
            )

    def step_at(self, learning_rate: float) -> None:
        """Move the weights along their gradients, and forget those."""
        for part in self._parts.values():
            part.param_groups[0]["lr"] = learning_rate
            part.step()
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resume needs."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``'s answer."""
        for name, part in self._parts.items():
            part.load_state_dict(cast(dict[str, Any], state[name]))


def _lies_between(name: str, weights: torch.Tensor) -> bool:
    return weights.dim() == 2 and "embed" not in name and "lm_head" not in name
