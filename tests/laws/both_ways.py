"""Spans decoded together and one by one, and whether the rows are the same."""

from collections.abc import Sequence

from collector.decoding import encoding
from collector.decoding.alike.together import Together
from collector.decoding.bodies import decoded
from collector.decoding.columns import Rows
from collector.decoding.encoding import Encoding
from collector.decoding.signals import traces as traces_signal
from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect

NOW_NS = 1_795_300_000_000_000_000
PROTOBUF = Encoding(encoding.PROTOBUF)
DECODERS = {kept: SpanDecoder(every_dialect(), capture_content=kept) for kept in (False, True)}


def told(rows: Rows) -> list[str]:
    """The rows, in no order; floats and texts to the bit."""
    table = rows.tables().get("spans")
    if table is None:
        return []
    table.validate(full=True)
    return sorted(map(repr, table.to_pylist()))


def one_by_one(decoder: SpanDecoder, bodies: Sequence[tuple[bytes, int]], rows: Rows) -> int:
    return sum(decoded(traces_signal(decoder), PROTOBUF, body, at, rows).cut for body, at in bodies)


def check(bodies: Sequence[bytes], *, content: bool = False, passes: int = 2, fewest: int = 1) -> int:
    """Decode ``bodies`` both ways, with templates learnt anew and with known ones; gives the rows decoded together."""
    decoder, together = DECODERS[content], Together(DECODERS[content], fewest)
    received = [(body, NOW_NS + at) for at, body in enumerate(bodies)]
    one = Rows()
    cut = one_by_one(decoder, received, one)
    expected, alike = told(one), 0
    for _ in range(passes):
        rows = Rows()
        left = together.rows(received, rows)
        alike = rows.of("spans").count
        assert one_by_one(decoder, left, rows) == cut
        assert told(rows) == expected
    return alike
