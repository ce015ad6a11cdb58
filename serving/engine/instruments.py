"""The engine's counters as OTLP metrics: cumulative sums and gauges, read when the exporter asks (once a second)."""

from collections.abc import Callable, Iterable

from conventions.instruments import ENGINE_COUNTERS, ENGINE_GAUGES, ENGINE_SAVINGS, Instrument
from serving.engine.counters import Counters
from serving.telemetry import CallbackOptions, Meter, Observation


def export(meter: Meter, counters: Counters) -> None:
    """Register every engine instrument of ``conventions`` on the meter."""
    for instrument in (*ENGINE_COUNTERS, *ENGINE_SAVINGS):
        meter.create_observable_counter(
            instrument.name, [_reading(counters, instrument)], instrument.unit, instrument.description
        )
    for instrument in ENGINE_GAUGES:
        meter.create_observable_gauge(
            instrument.name, [_reading(counters, instrument)], instrument.unit, instrument.description
        )


def value(counters: Counters, instrument: Instrument) -> int | float:
    """The counter of an instrument: ``tokenjoule.engine.decode_tokens`` is the field ``decode_tokens``."""
    number: int | float = getattr(counters, instrument.name.rsplit(".", 1)[-1])
    return number


def _reading(counters: Counters, instrument: Instrument) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value(counters, instrument))]

    return observe
