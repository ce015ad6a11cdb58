"""What a collector can be told: the schema of ``[collector]`` in the configuration file."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from analytics.charges.prices import Hardware, Prices
from conventions.errors import SettingsError

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Bearer tokens. ``ingest`` for OTLP, ``query`` for reading, ``admin`` for records and settlement.

    ``measure`` reads the shipped metrics only; the query token may do that too.
    """

    ingest: str | None = None
    query: str | None = None
    admin: str | None = None
    measure: str | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Those that are set."""
        return tuple(token for token in (self.ingest, self.query, self.admin, self.measure) if token)

    def missing(self) -> list[str]:
        """Names of those that are not set."""
        return [name for name in ("ingest", "query", "admin") if not getattr(self, name)]


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Bounds of what may wait for the writer, and of one commit. Over them a request is answered 503."""

    max_mb: int = 128
    max_rows: int = 500_000
    commit_rows: int = 50_000
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        if min(self.max_mb, self.max_rows, self.commit_rows) < 1 or self.retry_after_s <= 0:
            raise ValueError("queue limits must be positive")


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """Which probes read energy, and how often. ``replay`` is the recorded series of the probe of that name."""

    interval_s: float = 1.0
    probes: tuple[str, ...] = ("nvml", "amdsmi", "rapl", "cpu_model")
    replay: Path | None = None

    def __post_init__(self) -> None:
        if self.interval_s <= 0:
            raise ValueError(f"interval_s must be positive, got {self.interval_s}")


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """One engine on this host: whoever listens on ``port``, and its Prometheus page if it is stock vLLM."""

    engine: str
    port: int
    metrics_url: str | None = None


@dataclass(frozen=True, slots=True)
class ScrapeSettings:
    """A Prometheus page, read by ``map``, a file of ``collector/scrapes``, or by ``names``: series to instrument."""

    url: str
    interval_s: float = 5.0
    engine: str | None = None
    map: str = "vllm"
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interval_s <= 0:
            raise ValueError(f"interval_s must be positive, got {self.interval_s}")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, got {self.url!r}")


@dataclass(frozen=True, slots=True)
class SettleSettings:
    """How often the ledger settles, how long it waits for spans on their way, and how late a span may come."""

    interval_s: float = 2.0
    watermark_s: float = 5.0
    lateness_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class GridSettings:
    """Where carbon intensity comes from: a module of ``collector/grid``, for one zone and one basis.

    ``max_age_s`` bounds how old a value may be that stands in for a missing one; after it the yearly mean of
    ``fallback`` does, for its ``fallback_zone`` (the same zone without one), if it has the same basis.
    """

    provider: str = "static"
    zone: str = ""
    basis: Literal["average", "marginal"] = "average"
    refresh_s: float = 900.0
    max_age_s: float = 7200.0
    pue: float = 1.0  # facility energy ÷ energy of the metered devices
    fallback: str | None = "static"
    fallback_zone: str | None = None
    file: Path | None = None  # of the provider csv
    url: str | None = None  # of an API, where it is not the public one
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.zone:
            raise ValueError('zone must be given, such as zone = "DE"')
        if self.refresh_s <= 0 or self.max_age_s < 0:
            raise ValueError("refresh_s must be positive and max_age_s not negative")
        if self.pue < 1:
            raise ValueError(f"pue is facility energy over device energy, at least 1; got {self.pue}")


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    """How old days are kept: whole ones, by UTC. Without ``keep_days`` and ``max_gb`` nothing is ever forgotten."""

    interval_s: float = 3600.0
    hot_days: int = 7  # older days are sealed into Parquet
    keep_days: int | None = None  # older days are forgotten
    max_gb: float | None = None  # over it the oldest days are forgotten; 10⁹ bytes of rows in use

    def __post_init__(self) -> None:
        if self.interval_s <= 0 or self.hot_days < 1:
            raise ValueError("interval_s must be positive and hot_days at least 1")
        if self.keep_days is not None and self.keep_days < 1:
            raise ValueError(f"keep_days must be at least 1, got {self.keep_days}")
        if self.max_gb is not None and self.max_gb <= 0:
            raise ValueError(f"max_gb must be positive, got {self.max_gb}")


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """Where OTLP/gRPC is received. ``port = 0`` takes a free one, which the log names; tokens are those of HTTP."""

    host: str = "127.0.0.1"
    port: int = 4317

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be 0 to 65535, got {self.port}")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Bounds of HTTP connections: how many, and for how many seconds each may do nothing, send a head, a body, or not
    read its answer."""

    max: int = 10_000
    idle_s: float = 75.0
    head_s: float = 10.0
    body_s: float = 70.0
    answer_s: float = 60.0

    def __post_init__(self) -> None:
        if self.max < 1 or min(self.idle_s, self.head_s, self.body_s, self.answer_s) <= 0:
            raise ValueError("connections.max and its times must be positive")


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """The section ``[collector]``. ``port = 0`` takes a free one; sizes are decompressed megabytes (10⁶ bytes)."""

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 4318
    grpc: GrpcSettings | None = None  # absent: OTLP/gRPC is off
    memory_limit: str = "512MB"
    min_free_mb: int = 256  # of disk; below it nothing is taken in, and reading goes on
    max_body_mb: int = 64
    capture_content: bool = False
    tokens: TokenSettings = field(default_factory=TokenSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    connections: ConnectionSettings = field(default_factory=ConnectionSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    processes: tuple[ProcessSettings, ...] = ()
    scrapes: tuple[ScrapeSettings, ...] = ()
    settle: SettleSettings = field(default_factory=SettleSettings)
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)
    grid: GridSettings | None = None  # absent: no grams
    prices: Prices | None = None  # absent: no cost but what emitters report
    hardware: tuple[Hardware, ...] = ()
    backups: Path | None = None  # the folder below which /v1/backup may write

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be 0 to 65535, got {self.port}")
        if self.min_free_mb < 0:
            raise ValueError(f"min_free_mb must not be negative, got {self.min_free_mb}")
        if self.max_body_mb < 1:
            raise ValueError(f"max_body_mb must be at least 1, got {self.max_body_mb}")


def require_tokens_off_loopback(settings: CollectorSettings) -> None:
    """Refuse an address that others can reach unless every token is set (DESIGN §11).

    Raises ``SettingsError``.
    """
    missing = settings.tokens.missing()
    hosts = [settings.host] if settings.grpc is None else [settings.host, settings.grpc.host]
    reachable = [host for host in hosts if not is_loopback(host)]
    if missing and reachable:
        raise SettingsError(
            f"collector: refusing to listen on {reachable[0]} without tokens; set [collector.tokens] "
            f"{', '.join(missing)}, or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``. A name other than ``localhost`` counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
