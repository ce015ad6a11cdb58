"""Settings of a run, and how a field of a settings dataclass gets the text that ``--help`` prints."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conventions.errors import SettingsError


def option(default: Any, text: str) -> Any:
    """A dataclass field with a default and the sentence that explains its flag."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """Where a run goes, under which labels, and its hard limits. Section ``[loadgen]``; flags override it."""

    target: str = option("http://127.0.0.1:8080", "address of an OpenAI-compatible server, without path")
    collector: str = option("http://127.0.0.1:4318", "collector for spans and the run's record; 'none' sends nothing")
    run_id: str | None = option(None, "label of this run on every span (default: made from time and scenario)")
    arm: str | None = option(None, "label of the variant under test")
    timeout_s: float = option(60.0, "a request that takes longer is cut and counted as an error")
    max_requests: int = option(20_000, "refuse plans with more requests")
    max_seconds: float = option(7_200.0, "refuse plans that last longer")
    max_in_flight: int = option(1_024, "requests over this are not sent, and counted as not sent")
    allow_remote: bool = option(False, "permit a target that is not on this machine")
    response_cache: bool = option(True, "let response caches answer; without, cache-control: no-store is sent")
    json: Path | None = option(None, "write the result here")  # noqa: RUF009  # a field(), which ruff does not see
    # Secrets have no flags: a command line is readable by every process of the machine.
    ingest_token: str | None = field(default=None, repr=False)
    admin_token: str | None = field(default=None, repr=False)
    scenarios: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = (self.timeout_s, self.max_requests, self.max_seconds, self.max_in_flight)
        if min(limits) <= 0:
            raise ValueError("timeout_s and the limits must be above 0")

    @property
    def collector_url(self) -> str | None:
        """The collector's address, or None where nothing is to be recorded."""
        return None if self.collector in ("", "none") else self.collector.rstrip("/")


def checked_target(url: str, *, allow_remote: bool) -> str:
    """``url`` without a trailing slash.

    Raises ``SettingsError`` when it is no HTTP address, or points off this machine without ``allow_remote``:
    an open-loop load on somebody else's server is an attack.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"target {url!r} is no address: write http://host:port")
    if not (allow_remote or _is_loopback(parts.hostname)):
        raise SettingsError(f"target {url!r} is not on this machine: pass --allow-remote if you may load it")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
