"""Delivers an answer that is whole before the client sees any of it, in the form that the client asked for."""

import time

from serving.gateway import replay
from serving.gateway.call import Call, Delivery
from serving.gateway.relay import Recording

EVENT_STREAM = "text/event-stream; charset=utf-8"


async def deliver(body: bytes, call: Call, delivery: Delivery, recording: Recording | None = None) -> None:
    """``body`` as JSON, or as a stream of one chunk per word."""
    assert call.ask is not None
    if recording is not None:
        recording.add(body)
    if not call.ask.streamed:
        call.observation.see_body(body)
        await delivery.whole(body, "application/json")
        return
    now_s = time.perf_counter()
    for event in replay.as_events(body, call.operation):
        only_usage = call.observation.see_event(event, now_s)
        if call.ask.include_usage or not only_usage:
            await delivery.piece(event, EVENT_STREAM)
    await delivery.end()
