"""Eight-bit matrix products on CPU: weights once, a scale per output; activations as they come, a scale per product.

The activations' scale is that of the whole step, so who shares a batch moves an answer's rounding: greedy answers may
change with the load. Quality is measured in docs/engine.md, not promised.
"""

import warnings
from typing import Any

import torch

from conventions.errors import ModelNotSupported

LARGEST = 127


class Int8Linear:
    """``x @ weight + bias`` with a weight of ``[in, out]`` kept in eight bits."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        if weight.device.type != "cpu":
            raise ModelNotSupported("quantisation 'int8' runs on the CPU only: set device = \"cpu\" or leave it out")
        by_output = weight.t().float()
        scales = (by_output.abs().amax(dim=1) / LARGEST).clamp_min(1e-12).double()
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():  # torch announces a successor of its quantised tensors that has no CPU kernel
            warnings.simplefilter("ignore")
            quantised = torch.quantize_per_channel(by_output, scales, zeros, 0, torch.qint8)
            self._packed: Any = torch.ops.quantized.linear_prepack(quantised, None if bias is None else bias.float())

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Project ``[row, in]`` states to ``[row, out]``; ``reduce_range`` keeps older processors from overflowing."""
        projected: torch.Tensor = torch.ops.quantized.linear_dynamic(states.float(), self._packed, True)
        return projected.to(states.dtype)
