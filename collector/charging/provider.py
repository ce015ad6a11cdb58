"""What a module of ``collector/grid`` is: a ``Provider`` of carbon intensities for one zone, live or yearly."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from analytics.charges.intensity import Basis, Intensity
from conventions.errors import TokenjouleError


class GridUnavailable(TokenjouleError):
    """A provider that cannot answer: no such zone, no token, no file, no connection. The message has the remedy."""


@dataclass(frozen=True, slots=True)
class GridContext:
    """What a provider is opened with. Secrets do not appear in its ``repr``."""

    zone: str
    basis: Basis = "average"
    file: Path | None = None
    url: str | None = None
    token: str | None = None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"GridContext(zone={self.zone!r}, basis={self.basis!r})"


class Provider(Protocol):
    """One source of intensities. Opening it reads no network; raises ``GridUnavailable`` where it can never answer."""

    bases: ClassVar[tuple[Basis, ...]]
    """The bases it has; a series never has two."""
    live: ClassVar[bool]
    """Whether ``read`` asks somebody else and should be asked again; files are read once."""

    def __init__(self, context: GridContext) -> None: ...

    def yearly(self) -> Intensity | None:
        """The yearly mean that it bundles, None if it has series only."""

    def read(self, since: datetime, until: datetime) -> Sequence[Intensity]:
        """Values that begin in [since, until), UTC without a zone. Raises ``GridUnavailable``."""
