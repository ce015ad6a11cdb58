"""The section ``[serving.gateway]``: where to listen, who may call, which backends stand behind."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from conventions.plugins import unknown
from serving.backends.fleet import Backend, Fleet, base_url
from serving.backends.transport import Timeouts
from serving.routing._types import AUTO_MODEL


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """One backend. ``served_as`` is the public model name (default ``model``), ``tier`` its class in reports."""

    name: str
    url: str
    model: str
    tier: str = "default"
    served_as: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_good_port(parts):
            raise ValueError(f"backend {self.name!r}: url {self.url!r} must look like http://host:port")
        if self.served_as == AUTO_MODEL:
            raise ValueError(f"backend {self.name!r}: the name {AUTO_MODEL!r} is taken; choose another served_as")

    def backend(self) -> Backend:
        """The live object for these settings."""
        return Backend(
            name=self.name, base_url=base_url(self.url), model=self.model, served_as=self.served_as or self.model,
            tier=self.tier, api_key=self.api_key,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All settings of the gateway; times in seconds, sizes in bytes.

    ``keys`` maps API keys (``${NAME}``: from the environment) to tenants. Without keys everybody is the tenant
    ``default`` and only loopback is allowed. ``routing`` holds a table of settings per policy.
    """

    backends: tuple[BackendSettings, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    policy: str = "least_loaded"
    routing: dict[str, Any] = field(default_factory=dict)
    cache: str = "none"
    cache_max_entries: int = 4096
    cache_ttl_s: float = 3600.0
    max_attempts: int = 2
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 300.0
    health_interval_s: float = 2.0
    shutdown_grace_s: float = 5.0
    max_body_bytes: int = 8 * 1024 * 1024
    otlp_endpoint: str | None = None
    keys: dict[str, Any] = field(default_factory=dict, repr=False)  # Any: a wrong type is reported without the key
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        _require_backends(self.backends)
        _require_positive(self)
        if not self.keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is reachable from outside and there are no keys: add [serving.gateway.keys] "
                'with "<api key>" = "<tenant>", or listen on 127.0.0.1'
            )
        if not all(key and tenant and isinstance(tenant, str) for key, tenant in self.keys.items()):
            raise ValueError('keys: every entry must be "<api key>" = "<tenant>", both of them text and not empty')

    def fleet(self) -> Fleet:
        """The backends as live objects."""
        return Fleet(tuple(backend.backend() for backend in self.backends))

    def timeouts(self) -> Timeouts:
        """Limits of every call to a backend."""
        return Timeouts(self.connect_timeout_s, self.read_timeout_s)


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``; a name other than ``localhost`` may be anything, so it is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_backends(backends: tuple[BackendSettings, ...]) -> None:
    if not backends:
        raise ValueError("no backends: add at least one [[serving.gateway.backends]] with name, url and model")
    names = [backend.name for backend in backends]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two backends are called {name!r}: names must differ")


def _require_positive(settings: GatewaySettings) -> None:
    for key in (
        "cache_max_entries", "cache_ttl_s", "max_attempts", "connect_timeout_s", "read_timeout_s",
        "health_interval_s", "max_body_bytes",
    ):  # fmt: skip
        if getattr(settings, key) <= 0:
            raise ValueError(f"{key} must be greater than 0, got {getattr(settings, key)}")


def require_choice(kind: str, name: str, choices: list[str]) -> None:
    """Raises ``ValueError`` with the choices when ``name`` is none of them."""
    if name not in choices:
        raise ValueError(unknown(kind, name, choices))
