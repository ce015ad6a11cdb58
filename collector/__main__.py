"""Composition root of the collector: reads the settings, builds everything, runs until SIGTERM or SIGINT.

Stopping: no new requests, those that came are finished, the queue is committed, the ledger settles, the store closes.
"""

import argparse
import asyncio
import gc
import logging
import math
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from analytics.charges.intensity import Intensity
from collector.application import Parts, application
from collector.charging.charger import Charger
from collector.charging.gridfeed import Feed, open_provider, yearly_mean
from collector.counters import Counters
from collector.decoding import signals
from collector.decoding.logrecords import LogDecoder
from collector.decoding.points import PointDecoder
from collector.decoding.signals import Signal
from collector.decoding.spans import SpanDecoder
from collector.footprint import Footprint, return_large_blocks
from collector.ingesting.making import RowMaker
from collector.ingesting.pipeline import Pipeline
from collector.normalising.recognition import every_dialect
from collector.receiving.access import Door
from collector.receiving.admission import Admission
from collector.receiving.connections import Connections, raise_file_limit
from collector.receiving.intake import Intake
from collector.receiving.posts import Posting
from collector.sampling.sources import running, samplers
from collector.settings import MEGABYTE, CollectorSettings, require_tokens_off_loopback
from collector.settling.settle import Settler
from collector.spool.segments import SPOOL, Spool
from collector.upkeep import Upkeep
from conventions import logs, settings
from conventions.errors import SettingsError, StoreError, TokenjouleError
from store.writing import Store

_log = logging.getLogger(__name__)

DECODING_THREADS = 2
SWITCH_INTERVAL_S = 0.0005
"""How long a decoder may keep Python from the writer and the event loop, which need it briefly and often. With Python's
5 ms, half of all POSTs at 8,000 spans/s were answered within 87 ms; with this, within 31 ms."""
GRACE_S = 10  # for requests that are being answered when we are told to stop


class Server(uvicorn.Server):
    """Uvicorn that leaves signals to us: its own handling re-raises them, which would end us before we clean up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def main(arguments: list[str] | None = None) -> int:
    """``python -m collector --config F``; exit code 0 after a clean stop, 2 for settings or a store that refuse."""
    parser = argparse.ArgumentParser(prog="python -m collector", description="tokenjoule's collector")
    parser.add_argument("--config", type=Path, required=True, help="TOML file with a [collector] section")
    parser.add_argument("--log-level", default="INFO")
    given = parser.parse_args(arguments)
    logs.configure(given.log_level)
    try:
        serve(settings.section(given.config, "collector", CollectorSettings))
    except TokenjouleError as error:
        sys.stderr.write(f"collector: {error}\n")
        return 2
    return 0


def serve(configured: CollectorSettings) -> None:
    """Run a collector until it is told to stop. Raises ``SettingsError`` or ``StoreError`` before it is ready."""
    require_tokens_off_loopback(configured)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return_large_blocks()
    listener = _listen(configured.host, configured.port)
    reserve = configured.min_free_mb * MEGABYTE
    store = Store.open(configured.data, memory_limit=configured.memory_limit, reserve=reserve)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(configured, listener, store))
    finally:
        store.close()


run_collector = serve  # what the command line calls it


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error}; choose another port, or 0 for a free one"
        ) from None


async def _run(configured: CollectorSettings, listener: socket.socket, store: Store) -> None:
    counters = Counters()
    counters.watch_parts("memory_bytes", "memory of this process by whose it is", Footprint(store).read)
    limit = configured.max_body_mb * MEGABYTE
    taken_in = _signals(configured)
    spool = Spool(store.file.parent / SPOOL, store.spooled_until, reserve=configured.min_free_mb * MEGABYTE)
    maker = RowMaker(taken_in, limit, counters)
    pipeline = Pipeline(store, spool, maker.tables, configured.queue, counters)
    await _replayed(pipeline, len(spool.left))
    feed, yearly = _grid(configured, store)
    settler = Settler(store, configured.settle, Charger.of(configured, yearly))
    counters.watch("settle_lag_seconds", "how old what is settled is", lambda: settler.lag_s)
    feeding = asyncio.create_task(feed.run()) if feed else None
    settling = asyncio.create_task(settler.run())
    settling.add_done_callback(_report_end)
    upkeep = Upkeep(store, configured.upkeep)
    keeping = asyncio.create_task(upkeep.run())
    with ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="reader") as readers:
        admission = Admission(configured.queue.max_mb * MEGABYTE, configured.queue.retry_after_s)
        door = Door(configured.tokens.ingest, configured.tokens.given)
        intake = Intake(pipeline, admission, readers, counters, limit, door)
        app = application(
            Parts(store, settler, settling, pipeline, intake, taken_in, configured.tokens, configured.backups)
        )
        with running(samplers(configured, pipeline, counters, settler)):
            async with _grpc(configured, taken_in, intake):
                files = raise_file_limit()
                postings = {f"/v1/{one.name}".encode(): Posting(one, intake) for one in taken_in}
                limits = Connections.within(configured.connections, counters, limit, files, postings)
                gc.collect()
                gc.freeze()  # what is there now stays; to look through it again and again takes 40 ms each time
                await _serve_http(app, listener, limits)
    upkeep.stop()
    await asyncio.to_thread(pipeline.close)
    settler.stop()
    await settling
    await keeping
    if feed and feeding:
        feed.stop()
        await feeding
    await settler.finish()


def _grid(configured: CollectorSettings, store: Store) -> tuple[Feed | None, Intensity | None]:
    """Where intensities come from, with what is known without asking already stored."""
    if configured.grid is None:
        return None, None
    provider = open_provider(configured.grid)
    yearly = yearly_mean(configured.grid, provider)
    feed = Feed(store, provider, yearly, configured.grid.refresh_s)
    feed.start()
    return feed, yearly


def _signals(configured: CollectorSettings) -> tuple[Signal, ...]:
    content = configured.capture_content
    spans = SpanDecoder(every_dialect(), capture_content=content)
    return (
        signals.traces(spans),
        signals.metrics(PointDecoder()),
        signals.logs(LogDecoder(capture_content=content)),
    )


async def _replayed(pipeline: Pipeline, left: int) -> None:
    """Wait until what an earlier run acknowledged is in the store, unless the store takes nothing."""
    if not left:
        return
    _log.info("%d acknowledged requests are in the spool and not in the store: storing them", left)
    try:
        await asyncio.wrap_future(pipeline.caught_up())
    except StoreError as error:
        _log.error("they stay in the spool for now: %s", error)


def _grpc(
    configured: CollectorSettings, taken_in: Sequence[Signal], intake: Intake
) -> AbstractAsyncContextManager[str | None]:
    if configured.grpc is None:
        return nullcontext()
    from collector.receiving.grpc_receiver import receiving  # gRPC is loaded where it is spoken

    return receiving(configured.grpc, taken_in, intake, GRACE_S)


def _report_end(settling: "asyncio.Task[None]") -> None:
    """Say at once that settling failed: its exception would otherwise be seen only when we stop."""
    if not settling.cancelled() and settling.exception() is not None:
        _log.critical("settling has ended, spans are still taken in: restart", exc_info=settling.exception())


async def _serve_http(app: ASGIApp, listener: socket.socket, connections: Connections) -> None:
    protocol: Any = connections.protocol()  # uvicorn wants a class and calls it
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=math.ceil(connections.settings.idle_s),
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"ready collector http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
    await serving


if __name__ == "__main__":
    sys.exit(main())
