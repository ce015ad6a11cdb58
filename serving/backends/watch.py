"""Asks the backends for their health every few seconds, so that one that came back is used again."""

import asyncio

from serving.backends.fleet import Fleet
from serving.backends.transport import Transport


async def watch(fleet: Fleet, transport: Transport, interval_s: float) -> None:
    """Probe all backends, wait ``interval_s`` seconds, for ever; cancel it to stop.

    Between two probes a failed connection marks its backend at once, so this mostly brings backends back.
    """
    while True:
        await asyncio.gather(*(transport.probe(backend, interval_s) for backend in fleet.backends))
        await asyncio.sleep(interval_s)
