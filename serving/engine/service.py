"""Between the event loop and the engine thread: submit a request, await its deltas, cancel it.

The engine thread hands over one list per step with a single thread-safe call; everything here runs on the loop.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from serving.engine.loop import Delivery, Engine
from serving.engine.request import Request
from serving.engine.sequence import Delta, Sequence
from serving.engine.text import Decode, TextStream


class Generation:
    """One request's answer as it arrives. Used by one task."""

    def __init__(self, sequence: Sequence, cancel: Callable[[str], None]) -> None:
        self.sequence = sequence
        self._cancel = cancel
        self._deltas: list[Delta] = []
        self._arrived = asyncio.Event()
        self.finished = False
        """Whether the engine has let go of the request."""

    def put(self, delta: Delta) -> None:
        """Called by the service when a delta arrives."""
        self._deltas.append(delta)
        self.finished = delta.outcome is not None
        self._arrived.set()

    def cancel(self) -> None:
        """Ask the engine to drop the request; harmless when it is done."""
        if not self.finished:
            self._cancel(self.sequence.id)

    async def deltas(self) -> AsyncIterator[list[Delta]]:
        """What has arrived since the last time, until the last delta."""
        done = False
        while not done:
            await self._arrived.wait()
            self._arrived.clear()
            arrived, self._deltas = self._deltas, []
            done = arrived[-1].outcome is not None
            yield arrived

    async def last(self) -> Delta:
        """Wait until the engine has let go of the request."""
        final: Delta | None = None
        async for arrived in self.deltas():
            final = arrived[-1]
        assert final is not None
        return final


class Service:
    """The engine as the event loop sees it. Build it on the loop that will use it."""

    def __init__(self, decode: Decode, max_in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._decode = decode
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._generations: dict[str, Generation] = {}
        self._engine: Engine | None = None

    def attach(self, engine: Engine) -> None:
        """The engine that was built with ``self.deliver``."""
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine behind it."""
        assert self._engine is not None, "attach an engine first"
        return self._engine

    @property
    def full(self) -> bool:
        """Whether one more request would wait behind more than the settings allow."""
        return len(self._generations) >= self._max_in_flight

    @property
    def in_flight(self) -> int:
        """Requests that the engine holds."""
        return len(self._generations)

    def submit(self, request: Request, arrived_s: float) -> Generation:
        """Hand a request to the engine; its id must not be in flight."""
        assert request.id not in self._generations
        sequence = Sequence(request, TextStream(self._decode, request.stop), arrived_s)
        generation = Generation(sequence, self.engine.cancel)
        self._generations[request.id] = generation
        self.engine.submit(sequence)
        return generation

    def cancel_all(self) -> None:
        """Ask the engine to drop everything that is in flight."""
        for generation in self._generations.values():
            generation.cancel()

    def deliver(self, delivery: Delivery) -> None:
        """Called by the engine thread: pass a step's deltas on to the loop."""
        if delivery and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._dispatch, delivery)

    def _dispatch(self, delivery: Delivery) -> None:
        for sequence, delta in delivery:
            generation = self._generations[sequence.id]
            if delta.outcome is not None:
                del self._generations[sequence.id]
            generation.put(delta)
