"""``python -m serving.engine --config FILE --name NAME``: one engine process, from settings to sockets."""

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import uvicorn
import uvloop

from conventions import attributes, logs, settings
from conventions.errors import TokenjouleError
from serving import telemetry
from serving.engine import instruments
from serving.engine.api.endpoint import Desk
from serving.engine.api.intake import Intake
from serving.engine.api.server import application
from serving.engine.construction import build
from serving.engine.loop import Engine
from serving.engine.service import Service
from serving.engine.settings import EngineSettings
from serving.engine.tokenizer import Tokenizer
from serving.telemetry import Telemetry

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 120
"""Longer than the gateway's pool keeps a connection, so that the client is the one who closes: a server that closes
first races with the next request on the same connection."""
GRACE_S = 3
"""How long answers in flight may still take after SIGTERM before they are cancelled."""


class Server(uvicorn.Server):
    """uvicorn, ended by our own signal handlers (its own re-raise the signal, so the exit code is not 0)."""

    def __init__(self, config: uvicorn.Config, ready: str, cancel_all: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._cancel_all = cancel_all

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where we listen, once we do."""
        await super().startup(sockets=sockets)
        print(self._ready, flush=True)  # noqa: T201  the process's one line on standard output

    def _stop(self) -> None:
        """Take no more; what is still in flight after the grace is cancelled in the engine and answered so."""
        self.should_exit = True
        asyncio.get_running_loop().call_later(GRACE_S, self._cancel_all)


def main() -> int:
    """Exit code 0 after a clean stop, 2 for settings or weights that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m serving.engine", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file with [serving.engines.NAME]")
    parser.add_argument("--name", required=True, help="which engine of the file this process is")
    arguments = parser.parse_args()
    try:
        options = settings.section(arguments.config, f"serving.engines.{arguments.name}", EngineSettings)
        logs.configure(options.log_level)
        uvloop.run(serve(arguments.name, options))
    except (TokenjouleError, ValueError) as error:
        sys.stderr.write(f"engine {arguments.name}: {error}\n")
        return 2
    return 0


async def serve(name: str, options: EngineSettings) -> None:
    """Build everything, serve until a signal, then stop in the order: sockets, engine, telemetry."""
    torch.set_num_threads(options.threads)
    emitted = telemetry.start(options.otlp_endpoint, "tokenjoule-engine", name, {attributes.ENGINE: name})
    listening = socket.create_server((options.host, options.port))
    tokenizer = Tokenizer.from_folder(options.weights)
    service = Service(tokenizer.decode, options.max_num_seqs + options.max_queued_requests)
    engine, intake = build(options, name, tokenizer, service.deliver)
    service.attach(engine)
    instruments.export(emitted.meter, engine.counters)
    emitted.report()
    desk = Desk(service, tokenizer, emitted.tracer, name, intake.model)
    engine.start()
    try:
        await _server(name, desk, intake, listening).serve(sockets=[listening])
    finally:
        await asyncio.to_thread(_stop, engine, emitted)


def _server(name: str, desk: Desk, intake: Intake, listening: socket.socket) -> Server:
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        application(desk, intake),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2 * GRACE_S,
        backlog=2048,
    )
    return Server(config, f"ready engine:{name} http://{host}:{port}", desk.service.cancel_all)


def _stop(engine: Engine, emitted: Telemetry) -> None:
    engine.stop()
    emitted.shutdown()


if __name__ == "__main__":
    sys.exit(main())
