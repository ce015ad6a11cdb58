"""The values of spans that fit a template as vectors, and the spans whose values the careful way would not refuse."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decoding import times
from collector.decoding.alike import template as layout
from collector.decoding.alike.template import Kind, Place
from collector.decoding.alike.vectors import Coded, Vector, known
from collector.decoding.alike.walk import Ints, Truths, Walked, utf8
from collector.decoding.slices import CHILDREN, RESOURCES, delimited
from collector.normalising import values
from conventions.units import NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Loaded:
    """Spans of one template: by the name of its place the vector of each value that has a length of its own."""

    walked: Walked
    vectors: dict[Any, Vector]

    def __len__(self) -> int:
        return len(self.walked.rows)

    def only(self, chosen: Truths) -> "Loaded":
        """Some of them."""
        return Loaded(self.walked.only(chosen), {name: _chosen(one, chosen) for name, one in self.vectors.items()})

    def at(self, place: int) -> "Loaded":
        """One of them."""
        chosen = np.zeros(len(self), np.bool_)
        chosen[place] = True
        return self.only(chosen)

    def times(self) -> tuple[Ints, Ints]:
        """Start and end."""
        return _times(self.walked)


def loaded(walked: Walked, received_ns: Ints) -> Loaded:
    """Those that the careful way takes, whole and uncut. ``received_ns`` are of all spans, fitting or not."""
    good = _credible(walked, received_ns[walked.rows])
    walked = walked if good.all() else walked.only(good)
    vectors: dict[Any, Vector] = {}
    good = np.ones(len(walked.rows), np.bool_)
    for place in walked.template.places:
        if place.kind is not Kind.RAW:
            vectors[place.name], fine = READ[place.kind](walked, place)
            good &= fine
    found = Loaded(walked, vectors)
    return found if good.all() else found.only(good)


def _credible(walked: Walked, received_ns: Ints) -> Truths:
    """Where ids and times are such as ``collector.decoding.spans`` takes."""
    start_ns, end_ns = _times(walked)
    good = (start_ns >= times.EARLIEST_NS) & (end_ns >= start_ns)
    good &= (end_ns <= received_ns + times.FUTURE_TOLERANCE_NS) & (end_ns - start_ns <= times.LONGEST_NS)
    for number in (layout.TRACE_ID, layout.SPAN_ID):
        good &= walked.raw(_place(walked, number)).view(np.uint64).any(axis=1)
    return np.asarray(good)


def _times(walked: Walked) -> tuple[Ints, Ints]:
    return walked.integers(_place(walked, layout.START)), walked.integers(_place(walked, layout.END))


def durations_s(found: Loaded) -> Vector:
    """Seconds between start and end."""
    start_ns, end_ns = found.times()
    return np.asarray((end_ns - start_ns) / NANOSECONDS_PER_SECOND)


def _place(walked: Walked, number: int) -> Place:
    place = walked.template.of_field(number)
    assert place is not None
    return place


def _chosen(vector: Vector, chosen: Truths) -> Vector:
    if isinstance(vector, Coded):
        return Coded(vector.distinct, vector.codes[chosen])
    return vector[chosen] if isinstance(vector, np.ndarray) else vector.filter(pa.array(chosen))


def _text(walked: Walked, place: Place) -> tuple[Vector, Truths]:
    """Names and messages are stored, so they must not be so long that they are cut; a message is not empty."""
    pieces = walked.pieces(place)
    good = utf8(pieces)
    lengths = walked.lengths[place.run]
    if place.name[0] == "field" and place.name[1] != layout.TRACE_STATE:
        fine = (lengths <= values.MAX_TEXT) & ((lengths > 0) | (place.name[1] == layout.NAME))
        good = fine if good is None else good & fine
    if good is None:
        return pieces.view(pa.string()), np.ones(len(lengths), np.bool_)
    return pc.if_else(pa.array(good), pieces, b"").cast(pa.string()), good


def _double(walked: Walked, place: Place) -> tuple[Vector, Truths]:
    return walked.doubles(place), np.ones(len(walked.rows), np.bool_)


def _bool(walked: Walked, place: Place) -> tuple[Vector, Truths]:
    read = walked.raw(place)[:, 0]
    return read == 1, read <= 1


def _other(walked: Walked, place: Place) -> tuple[Vector, Truths]:
    """Arrays, maps and bytes: read by protobuf, those that are the same once."""
    encoded = walked.pieces(place).dictionary_encode()
    return known(Coded([_any_value(one) for one in encoded.dictionary.to_pylist()], encoded.indices.to_numpy()))


def _any_value(body: bytes) -> Any:
    """An AnyValue as deep in a request as it is sent, as protobuf bounds the depth; ``None`` if it cannot be read."""
    request = ExportTraceServiceRequest()
    span = delimited(layout.ATTRIBUTE, delimited(layout.VALUE, body))
    try:
        request.ParseFromString(delimited(RESOURCES, delimited(CHILDREN, delimited(CHILDREN, span))))
    except DecodeError:
        return None
    return values.value(request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value)


READ = {Kind.TEXT: _text, Kind.INT: Walked.varints, Kind.DOUBLE: _double, Kind.BOOL: _bool, Kind.OTHER: _other}
