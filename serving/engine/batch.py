"""One step as tensors: every position to compute, flattened into one row each, decodes before prefill chunks.

Linear layers see all rows at once, so weights are read once per step; attention sees the decodes as one padded batch
and each chunk by itself, so no block-diagonal mask over unrelated requests is ever built.
"""

import itertools
import math
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

import torch

from serving.engine.kv import KvCache


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive positions of one request to compute: ``start`` … ``start + len(tokens) - 1``."""

    slot: int
    start: int
    tokens: SequenceOf[int]
    decodes: bool
    samples: bool
    """Whether the last position's logits are wanted."""
    num_drafts: int = 0
    """Tokens at its end that are only proposed: the logits before each of them are wanted as well."""
    keeps_logits: bool = False
    """Whether the last position's logits are wanted themselves, beside what is drawn from them."""
    exit_threshold: float | None = None
    """For decodes: the confidence at which a position may leave the model early; None: it goes through all layers."""

    @property
    def end(self) -> int:
        """The first position after it; also the context of its last position, itself included."""
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """A prefill chunk within the batch: its rows, its slot, its context."""

    rows: slice
    slot: int
    context: int
    mask: torch.Tensor | None
    """``[rows, context]``, additive; None when the chunk begins its prompt and plain causality holds."""


@dataclass(frozen=True, slots=True)
class DecodeRows:
    """Decoding requests that compute the same number of positions each: one, and one more per draft."""

    rows: slice
    count: int
    width: int
    """Positions of each request; row ``request × width + position``."""
    slots: slice | torch.Tensor
    context: int
    """The longest context among them, itself included."""
    mask: torch.Tensor
    """``[count, 1, width, context]``, additive."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of one forward pass; the rows of decodes come first and want logits, all of them."""

    tokens: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    kv_rows: torch.Tensor
    decodes: tuple[DecodeRows, ...]
    chunks: tuple[ChunkRows, ...]
    logit_rows: torch.Tensor | slice
    exit_thresholds: torch.Tensor | None = None
    """``[decode row]``, infinite for those that may not leave early; None when none may."""

    @property
    def num_decode_rows(self) -> int:
        """Rows of decodes."""
        return self.decodes[-1].rows.stop if self.decodes else 0


def assemble(spans: SequenceOf[Span], kv: KvCache, device: torch.device, dtype: torch.dtype) -> Batch:
    """The batch of these spans, which must list decodes first, those of equal length beside each other."""
    tokens = torch.tensor([token for span in spans for token in span.tokens], device=device)
    positions = torch.tensor([p for span in spans for p in range(span.start, span.end)], device=device)
    slots = torch.tensor([span.slot for span in spans for _ in span.tokens], device=device)
    decodes = [span for span in spans if span.decodes]
    num_decoded = sum(len(span.tokens) for span in decodes)
    return Batch(
        tokens=tokens,
        positions=positions,
        slots=slots,
        kv_rows=kv.rows(slots, positions),
        decodes=tuple(_decode_groups(decodes, positions, dtype)),
        chunks=tuple(_chunk_rows(spans[len(decodes) :], num_decoded, device, dtype)),
        logit_rows=_logit_rows(spans, len(tokens), device),
        exit_thresholds=_exit_thresholds(decodes, device),
    )


def without(batch: Batch, gone: torch.Tensor) -> tuple[Batch, torch.Tensor]:
    """The batch less the decode rows that are ``gone`` (a mask over them), and which of its rows are left, in order.

    What is left of the decodes is one group of single positions: a request's drafts may have left at different layers.
    """
    decoding = (~gone).nonzero().squeeze(1)
    left = torch.cat([decoding, torch.arange(len(gone), len(batch.tokens), device=gone.device)])
    num_gone = len(gone) - len(decoding)
    positions, slots = batch.positions[left], batch.slots[left]
    heads = len(batch.kv_rows) // len(batch.tokens)
    ends = torch.arange(len(batch.tokens), device=gone.device)[batch.logit_rows][len(gone) :] - num_gone
    narrowed = Batch(
        tokens=batch.tokens[left],
        positions=positions,
        slots=slots,
        kv_rows=batch.kv_rows.view(-1, heads)[left].view(-1),
        decodes=_single(batch, slots[: len(decoding)], positions[: len(decoding)]),
        chunks=tuple(replace(chunk, rows=_moved(chunk.rows, -num_gone)) for chunk in batch.chunks),
        logit_rows=torch.cat([torch.arange(len(decoding), device=gone.device), ends]),
        exit_thresholds=None if batch.exit_thresholds is None else batch.exit_thresholds[decoding],
    )
    return narrowed, left


def _single(batch: Batch, slots: torch.Tensor, positions: torch.Tensor) -> tuple[DecodeRows, ...]:
    if not len(slots):
        return ()
    context = int(positions.max()) + 1
    return (_decode_rows(slots.tolist(), context, slice(0, len(slots)), 1, positions, batch.decodes[0].mask.dtype),)


def _moved(rows: slice, by: int) -> slice:
    return slice(rows.start + by, rows.stop + by)


def _decode_groups(spans: list[Span], positions: torch.Tensor, dtype: torch.dtype) -> Iterator[DecodeRows]:
    first_row = 0
    for width, group in itertools.groupby(spans, key=lambda span: len(span.tokens)):
        members = list(group)
        rows = slice(first_row, first_row + width * len(members))
        first_row = rows.stop
        slots, context = [span.slot for span in members], max(span.end for span in members)
        yield _decode_rows(slots, context, rows, width, positions[rows], dtype)


def _decode_rows(
    slots: list[int], context: int, rows: slice, width: int, positions: torch.Tensor, dtype: torch.dtype
) -> DecodeRows:
    hidden = torch.arange(context, device=positions.device) > positions[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device).masked_fill_(hidden, float("-inf"))
    dense = slots == list(range(slots[0], slots[0] + len(slots)))
    where = slice(slots[0], slots[0] + len(slots)) if dense else torch.tensor(slots, device=positions.device)
    return DecodeRows(rows, len(slots), width, where, context, mask.view(len(slots), 1, width, context))


def _exit_thresholds(decodes: list[Span], device: torch.device) -> torch.Tensor | None:
    if all(span.exit_threshold is None for span in decodes):
        return None
    of_rows = [span.exit_threshold for span in decodes for _ in span.tokens]
    return torch.tensor([math.inf if one is None else one for one in of_rows], device=device)


def _chunk_rows(spans: SequenceOf[Span], first_row: int, device: torch.device, dtype: torch.dtype) -> list[ChunkRows]:
    chunks = []
    for span in spans:
        rows = slice(first_row, first_row + len(span.tokens))
        first_row = rows.stop
        chunks.append(ChunkRows(rows, span.slot, span.end, _chunk_mask(span, device, dtype)))
    return chunks


def _chunk_mask(span: Span, device: torch.device, dtype: torch.dtype) -> torch.Tensor | None:
    if span.start == 0:
        return None
    hidden = torch.ones(len(span.tokens), span.end, dtype=torch.bool, device=device).triu_(span.start + 1)
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))


def _logit_rows(spans: SequenceOf[Span], num_rows: int, device: torch.device) -> torch.Tensor | slice:
    rows, row = list[int](), 0
    for span in spans:
        row += len(span.tokens)
        if span.samples:
            rows += range(row - 1 - span.num_drafts, row)
    return slice(0, num_rows) if len(rows) == num_rows else torch.tensor(rows, dtype=torch.long, device=device)
