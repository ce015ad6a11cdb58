"""Encodings that protobuf reads and no encoder writes give the same rows, decoded together or one by one."""

from collections.abc import Sequence

import pytest

from collector.decoding.alike.together import Together
from collector.decoding.columns import Rows
from collector.decoding.slices import delimited
from conventions.errors import MalformedPayload
from tests.collector.payloads import span
from tests.laws.both_ways import DECODERS, NOW_NS, check, one_by_one


def hostile() -> dict[str, bytes]:
    """Spans that protobuf reads, written as no encoder writes them."""
    usual = bytes(span(7, attributes={"a": "b", "n": 5}, start_ns=NOW_NS - 10**9).SerializeToString())
    attribute = delimited(9, delimited(1, b"k") + delimited(2, delimited(1, b"v")))
    long_tag = attribute.replace(b"\x4a", b"\xca\x00", 1)
    return {
        "usual": usual,
        "the same id twice": delimited(1, bytes(range(16))) + usual,
        "a name twice": usual + delimited(5, b"other"),
        "the same key twice": usual + attribute + attribute,
        "an attribute in the wrong order": usual + delimited(9, delimited(2, delimited(1, b"v")) + delimited(1, b"k")),
        "a value twice": usual
        + delimited(9, delimited(1, b"k") + delimited(2, b"\x18\x05") + delimited(2, b"\x18\x06")),
        "two kinds of value": usual + delimited(9, delimited(1, b"k") + delimited(2, b"\x18\x05\x10\x01")),
        "an empty value": usual + delimited(9, delimited(1, b"k") + delimited(2, b"")),
        "no value": usual + delimited(9, delimited(1, b"k")),
        "a long tag": usual + long_tag,
        "a long number": usual + delimited(9, delimited(1, b"k") + delimited(2, b"\x18\x85\x80\x00")),
        "a number of ten bytes": usual
        + delimited(9, delimited(1, b"k") + delimited(2, b"\x18" + b"\xff" * 9 + b"\x01")),
        "a truth of two": usual + delimited(9, delimited(1, b"k") + delimited(2, b"\x10\x02")),
        "a long length": usual + b"\x2a\x84\x00name",
        "a key that is not UTF-8": usual + delimited(9, delimited(1, b"\xff") + delimited(2, delimited(1, b"v"))),
        "a text that is not UTF-8": usual + delimited(9, delimited(1, b"k") + delimited(2, delimited(1, b"\xff\xfe"))),
        "half a character": usual + delimited(9, delimited(1, b"k") + delimited(2, delimited(1, b"\xc3"))),
        "bytes": usual + delimited(9, delimited(1, b"k") + delimited(2, delimited(7, b"\xff\x00"))),
        "a deep value": usual + delimited(9, delimited(1, b"k") + delimited(2, nested(40))),
        "too deep a value": usual + delimited(9, delimited(1, b"k") + delimited(2, nested(48))),
        "an unknown field": usual + b"\xfa\x06\x01x",
        "an event": usual + delimited(11, delimited(2, b"event")),
        "an old kind of number": usual + b"\x55\x01\x00\x00\x00",
        "nothing": b"",
    }


def nested(depth: int) -> bytes:
    body = b"\x18\x05"
    for _ in range(depth):
        body = delimited(5, delimited(1, body))
    return body


@pytest.mark.parametrize("what", hostile())
def test_spans_written_as_no_encoder_does(what: str) -> None:
    """Alone, many of them, and among others that are built as usual."""
    strange, usual = hostile()[what], hostile()["usual"]
    for items in ([strange] * 3, [strange, usual] * 3, [usual, usual, strange, usual]):
        scope = b"".join(delimited(2, item) for item in items)
        body = delimited(1, delimited(1, b"") + delimited(2, scope))
        if what == "too deep a value":
            refuses([body, body])
        else:
            check([body, body])


def refuses(bodies: Sequence[bytes]) -> None:
    """Requests that are refused as a whole leave something that is refused as a whole."""
    received = [(body, NOW_NS) for body in bodies]
    left = Together(DECODERS[False], 1).rows(received, Rows())
    for some in (received, left):
        with pytest.raises(MalformedPayload):
            one_by_one(DECODERS[False], some, Rows())


@pytest.mark.parametrize("number", [1, 2])
def test_a_resource_or_scope_that_comes_twice(number: int) -> None:
    """Protobuf merges the two."""
    usual = delimited(2, hostile()["usual"])
    head = delimited(1, delimited(1, delimited(1, b"service.name") + delimited(2, delimited(1, b"one"))))
    scope = delimited(1, delimited(1, b"scope")) + usual
    body = delimited(1, head * (3 - number) + delimited(2, scope + delimited(1, delimited(2, b"9")) * (number - 1)))
    check([body] * 3)
