"""Builds the gateway from its settings and runs it until a signal ends it."""

import asyncio
import contextlib
import signal
import socket
import sys

import uvicorn

from conventions import plugins, settings
from conventions.errors import SettingsError
from serving.backends.transport import Transport
from serving.backends.watch import watch
from serving.gateway.app import Gateway
from serving.gateway.attempts import Attempts
from serving.gateway.calls import Calls
from serving.gateway.memory import Memory
from serving.gateway.metrics import Counters
from serving.gateway.router import Router
from serving.gateway.settings import GatewaySettings
from serving.gateway.tenants import Tenants
from serving.telemetry import Telemetry

KEEP_ALIVE_S = 75  # longer than HTTP clients keep idle connections (5 to 60 s), so that none is closed under a request
ROUTING, CACHING = "serving.routing", "serving.caching"


def router(chosen: GatewaySettings) -> Router:
    """The routing policy of the settings. Raises ``PluginError`` or ``SettingsError``."""
    policy = plugins.load(ROUTING, chosen.policy, "Policy")
    for name in chosen.routing:
        if name not in plugins.names(ROUTING):
            raise SettingsError(plugins.unknown("routing policy", name, plugins.names(ROUTING)))
    values = chosen.routing.get(chosen.policy, {})
    return Router(chosen.policy, settings.build(policy, values, f"[serving.gateway.routing.{chosen.policy}]"))


def gateway(chosen: GatewaySettings, transport: Transport, telemetry: Telemetry) -> Gateway:
    """The application with all its parts."""
    cache = plugins.load(CACHING, chosen.cache, "Cache")(chosen.cache_max_entries, chosen.cache_ttl_s)
    fleet, counters = chosen.fleet(), Counters()
    attempts = Attempts(fleet, router(chosen), transport, telemetry.tracer, counters, chosen.max_attempts)
    calls = Calls(fleet, attempts, Memory(cache), telemetry.tracer, counters, chosen.max_body_bytes)
    return Gateway(fleet, Tenants(chosen.keys), calls, counters)


async def run(chosen: GatewaySettings, listener: socket.socket, telemetry: Telemetry) -> None:
    """Serve until SIGTERM or SIGINT; prints one line when connections are accepted."""
    async with Transport(chosen.timeouts()) as transport:
        app = gateway(chosen, transport, telemetry)
        probing = asyncio.create_task(watch(app.fleet, transport, chosen.health_interval_s))
        server = _server(app, chosen.shutdown_grace_s)
        _announce(chosen.host, listener)
        try:
            await server.serve(sockets=[listener])
        finally:
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing


def _server(app: Gateway, grace_s: float) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http="httptools", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        date_header=False, proxy_headers=False, timeout_graceful_shutdown=max(1, round(grace_s)),
        timeout_keep_alive=KEEP_ALIVE_S,
    )  # fmt: skip
    server = uvicorn.Server(config)
    # uvicorn handles signals while it serves, and raises the one that ended it once more afterwards; without a handler
    # of our own that would end us before telemetry is flushed
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    return server


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ``OSError`` when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    listener.setblocking(False)
    return listener


def _announce(host: str, listener: socket.socket) -> None:
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"ready gateway http://{shown}:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
