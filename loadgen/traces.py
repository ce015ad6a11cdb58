"""Recorded request traces: Azure LLM inference (CSV) and Mooncake (JSONL), read strictly and reshaped openly.

They carry times and lengths only, no text. Sources: Azure Public Dataset, LLM inference trace 2023 (Patel et al.,
*Splitwise*, ISCA 2024); kvcache-ai/Mooncake FAST '25 release (Qin et al., *Mooncake*, FAST 2025).
"""

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from conventions.errors import TraceFormatError

MOONCAKE_BLOCK_TOKENS: Final = 512
"""Prompt tokens behind one of Mooncake's ``hash_ids``."""

_AZURE_COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request: seconds since the trace's first, prompt and answer lengths in tokens, ids of prefix blocks."""

    at_s: float
    input_tokens: int
    output_tokens: int
    block_ids: tuple[int, ...] = ()


Rows = tuple[TraceRow, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """What ``capped`` took away: requests touched and tokens removed on either side."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __str__(self) -> str:
        return (
            f"length caps cut {self.requests} requests "
            f"by {self.input_tokens} prompt and {self.output_tokens} answer tokens in all"
        )


def read(path: Path) -> Rows:
    """All rows of a trace, format by suffix (``.csv`` Azure, ``.jsonl`` Mooncake), in the order of the file.

    Raises ``TraceFormatError`` naming file, line and reason.
    """
    parsers: dict[str, Callable[[Path], Iterator[tuple[int, TraceRow]]]] = {".csv": _azure, ".jsonl": _mooncake}
    if path.suffix not in parsers:
        raise TraceFormatError(f"{path}: unknown trace format {path.suffix!r}: choose from {', '.join(parsers)}")
    try:
        numbered = list(parsers[path.suffix](path))
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFormatError(f"{path}: {error}") from None
    if not numbered:
        raise TraceFormatError(f"{path}: no requests in the file")
    return _from_zero(tuple(row for _, row in _in_order(numbered, path)))


def spread(rows: Rows, seed: int) -> Rows:
    """Rows with equal stamps spread at random over the time until the next stamp.

    Mooncake's stamps are quantised to about 3 s; replayed as they are, ten requests arrive at once. Rows of the
    last stamp are spread over the median step; a trace with one stamp only is returned as it is.
    """
    stamps = sorted({row.at_s for row in rows})
    if len(stamps) < 2:
        return rows
    steps = np.diff(stamps)
    width = dict(zip(stamps, [*steps.tolist(), float(np.median(steps))], strict=True))
    rng = np.random.default_rng(seed)
    moved: list[TraceRow] = []
    for stamp, group in itertools.groupby(rows, key=lambda row: row.at_s):
        members = list(group)
        # The first keeps the stamp, so a trace without ties is not moved at all.
        offsets = [0.0, *np.sort(rng.random(len(members) - 1) * width[stamp]).tolist()]
        moved.extend(replace(row, at_s=stamp + offset) for row, offset in zip(members, offsets, strict=True))
    return tuple(moved)


def window(rows: Rows, start_s: float, length_s: float | None, limit: int | None) -> Rows:
    """Rows from ``start_s`` on for ``length_s`` seconds of the trace, at most ``limit``; the first at 0 again."""
    end_s = float("inf") if length_s is None else start_s + length_s
    inside = (row for row in rows if start_s <= row.at_s < end_s)
    return _from_zero(tuple(itertools.islice(inside, limit)))


def scaled(rows: Rows, factor: float) -> Rows:
    """Rows with every time multiplied by ``factor``: 0.1 plays ten times as fast."""
    return tuple(replace(row, at_s=row.at_s * factor) for row in rows)


def shrunk(rows: Rows, factor: float) -> Rows:
    """Rows with prompt lengths times ``factor``, at least one token; answers stay as they are."""
    return tuple(replace(row, input_tokens=max(1, round(row.input_tokens * factor))) for row in rows)


def capped(rows: Rows, max_input: int | None, max_output: int | None) -> tuple[Rows, Cut]:
    """Rows with lengths of at most ``max_input`` and ``max_output`` tokens (None = as they are), and what was cut."""
    kept = tuple(
        replace(
            row,
            input_tokens=_at_most(row.input_tokens, max_input),
            output_tokens=_at_most(row.output_tokens, max_output),
        )
        for row in rows
    )
    pairs = [(before, after) for before, after in zip(rows, kept, strict=True) if before != after]
    cut = Cut(
        requests=len(pairs),
        input_tokens=sum(before.input_tokens - after.input_tokens for before, after in pairs),
        output_tokens=sum(before.output_tokens - after.output_tokens for before, after in pairs),
    )
    return kept, cut


def _at_most(value: int, limit: int | None) -> int:
    return value if limit is None else min(value, limit)


def _from_zero(rows: Rows) -> Rows:
    return tuple(replace(row, at_s=row.at_s - rows[0].at_s) for row in rows)


def _in_order(numbered: list[tuple[int, TraceRow]], path: Path) -> list[tuple[int, TraceRow]]:
    for (_, before), (number, row) in itertools.pairwise(numbered):
        if row.at_s < before.at_s:
            raise TraceFormatError(f"{path}:{number}: time runs backwards by {before.at_s - row.at_s:.3f} s")
    return numbered


def _azure(path: Path) -> Iterator[tuple[int, TraceRow]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != _AZURE_COLUMNS:
            raise TraceFormatError(f"{path}:1: expected the columns {','.join(_AZURE_COLUMNS)}, got {','.join(header)}")
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if len(cells) != len(_AZURE_COLUMNS):
                raise TraceFormatError(f"{where}: expected {len(_AZURE_COLUMNS)} cells, got {len(cells)}")
            yield (
                reader.line_num,
                TraceRow(
                    at_s=_azure_time(cells[0], where),
                    input_tokens=_count(cells[1], "ContextTokens", where),
                    output_tokens=_count(cells[2], "GeneratedTokens", where),
                ),
            )


def _azure_time(cell: str, where: str) -> float:
    try:
        # The trace has seven decimals and no zone; only differences are used.
        return (datetime.fromisoformat(cell) - datetime(1970, 1, 1)).total_seconds()
    except (ValueError, TypeError):
        raise TraceFormatError(f"{where}: TIMESTAMP {cell!r} is no time like 2023-11-16 18:17:03.979") from None


def _mooncake(path: Path) -> Iterator[tuple[int, TraceRow]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _mooncake_row(line, f"{path}:{number}")


def _mooncake_row(line: str, where: str) -> TraceRow:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise TraceFormatError(f"{where}: not JSON: {error.msg}") from None
    if not isinstance(row, dict):
        raise TraceFormatError(f"{where}: expected an object, got {type(row).__name__}")
    block_ids = row.get("hash_ids", [])
    if not isinstance(block_ids, list) or any(type(block) is not int or block < 0 for block in block_ids):
        raise TraceFormatError(f"{where}: hash_ids must be a list of whole numbers")
    stamp: Any = row.get("timestamp")
    if type(stamp) not in (int, float) or not stamp >= 0:
        raise TraceFormatError(f"{where}: timestamp {stamp!r} is no number of milliseconds")
    return TraceRow(
        at_s=stamp / 1_000,
        input_tokens=_count(row.get("input_length"), "input_length", where),
        output_tokens=_count(row.get("output_length"), "output_length", where),
        block_ids=tuple(block_ids),
    )


def _count(value: Any, name: str, where: str) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if type(value) is not int or value < 1:
        raise TraceFormatError(f"{where}: {name} is {value!r}, expected a whole number above 0")
    return value
