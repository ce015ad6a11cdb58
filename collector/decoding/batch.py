"""What decoding one request gives: rows by relation, and what had to be refused."""

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

REASONS_SHOWN: Final = 3


@dataclass(slots=True)
class Refusals:
    """Counted refusals of single spans or data points; the first reasons are kept in words."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.reasons) < REASONS_SHOWN and reason not in self.reasons:
            self.reasons.append(reason)

    def include(self, others: "Refusals") -> None:
        """Count ``others`` too."""
        self.count += others.count
        fresh = [reason for reason in others.reasons if reason not in self.reasons]
        self.reasons = (self.reasons + fresh)[:REASONS_SHOWN]

    def message(self, noun: str) -> str:
        """For the sender: how many were refused and why; empty if none."""
        return f"{self.count} {noun} refused: {'; '.join(self.reasons)}" if self.count else ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Tables ready for the store, with counts of what they hold, refused, cut and passed over.

    Of a request that was only checked there are the counts and no tables.
    """

    tables: dict[str, pa.Table]
    accepted: int
    refusals: Refusals
    cut: int = 0
    passed_over: int = 0  # well-formed, and nothing that is kept here
    weight: int = 0  # bytes of its body, and characters that its rows repeat: about what its rows take
