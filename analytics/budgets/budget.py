"""One budget as configured: a kind, an amount or an objective, a window, and whose requests count."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from analytics.budgets.durations import duration
from conventions import plugins

ERRORS: Final = "errors"
_PACKAGE: Final = "analytics.budgets"
_FIRST_MONDAY: Final = datetime(2000, 1, 3)


@dataclass(frozen=True, slots=True)
class Budget:
    """A ``[[budgets]]`` section. Spend kinds have a ``limit`` per window, ``errors`` has an ``objective``.

    Spend budgets run in fixed UTC periods (days from midnight, weeks from Monday, other windows counted from Monday
    2000-01-03), error budgets in the window that ends now.
    """

    name: str
    kind: str
    window: str = "30d"
    limit: float | None = None
    objective: float | None = None
    tenant: str | None = None
    tier: str | None = None

    def __post_init__(self) -> None:
        kinds = plugins.names(_PACKAGE, ".sql")
        if self.kind not in kinds:
            raise ValueError(f"budget {self.name!r}: {plugins.unknown('kind', self.kind, kinds)}")
        duration(self.window)
        self._check_errors() if self.is_errors else self._check_spend()

    @property
    def is_errors(self) -> bool:
        """Whether it counts failures rather than an amount."""
        return self.kind == ERRORS

    @property
    def length(self) -> timedelta:
        """The window as a length of time."""
        return duration(self.window)

    @property
    def tolerated(self) -> float:
        """The share of requests that may fail: 1 − objective. Only of error budgets."""
        assert self.objective is not None
        return 1.0 - self.objective

    def period_start(self, at: datetime) -> datetime:
        """When the period that holds ``at`` (UTC without a zone) began."""
        if self.is_errors:
            return at - self.length
        return at - (at - _FIRST_MONDAY) % self.length

    def _check_errors(self) -> None:
        if self.limit is not None or self.objective is None or not 0 < self.objective < 1:
            raise ValueError(
                f"budget {self.name!r}: errors need an objective between 0 and 1, such as 0.99, and no limit"
            )

    def _check_spend(self) -> None:
        if self.objective is not None or self.limit is None or self.limit <= 0:
            raise ValueError(f"budget {self.name!r}: {self.kind} need a limit above 0 per window, and no objective")
