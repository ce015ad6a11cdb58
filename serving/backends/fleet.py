"""The backends in front of which the gateway stands, with what it knows about each right now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from serving.routing._types import AUTO_MODEL


@dataclass(slots=True)
class Backend:
    """One OpenAI-compatible server, and its state as this gateway sees it.

    ``base_url`` has no ``/v1`` and no trailing slash; ``model`` is the server's own model name, ``served_as`` the
    public one. ``in_flight`` counts this gateway's open attempts only; other callers of the server are not known.
    """

    name: str
    base_url: str
    model: str
    served_as: str
    tier: str
    api_key: str | None = field(default=None, repr=False)
    in_flight: int = 0
    healthy: bool = True
    last_error: str | None = None
    address: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        self.address = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)

    def mark_reachable(self) -> None:
        """The server answered: it may be chosen."""
        self.healthy, self.last_error = True, None

    def mark_unreachable(self, reason: str) -> None:
        """The server cannot be reached; ``reason`` is shown by ``/health``."""
        self.healthy, self.last_error = False, reason


@dataclass(frozen=True, slots=True)
class Fleet:
    """All backends in the order of the settings."""

    backends: tuple[Backend, ...]

    def serving(self, model: str) -> tuple[Backend, ...]:
        """The backends that a request for the public name ``model`` may go to; empty when there is none."""
        if model == AUTO_MODEL:
            return self.backends
        return tuple(backend for backend in self.backends if backend.served_as == model)

    def models(self) -> list[str]:
        """The public model names, each once, in the order of the settings; ``auto`` is last."""
        return [*dict.fromkeys(backend.served_as for backend in self.backends), AUTO_MODEL]


def base_url(url: str) -> str:
    """``url`` without a trailing slash and without ``/v1``, which people give as often as not."""
    return url.rstrip("/").removesuffix("/v1")


def named(backends: Sequence[Backend], name: str) -> Backend:
    """The backend called ``name``; it is our own mistake if there is none."""
    return next(backend for backend in backends if backend.name == name)
