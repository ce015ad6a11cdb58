"""Streamed text is whole characters, equals decoding everything at once, and never shows a stop string."""

from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.engine.text import REPLACEMENT, Detokeniser, StopScanner, TextStream

law = settings(deadline=None, max_examples=100)


def byte_decode(ids: Sequence[int]) -> str:
    """A vocabulary of single bytes."""
    return bytes(ids).decode("utf-8", errors="replace")


def first_stop(text: str, stops: Sequence[str]) -> int:
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))


@law
@given(st.text())
def test_pieces_of_valid_text_are_whole_characters(text: str) -> None:
    stream = Detokeniser(byte_decode)
    pieces = [stream.push(byte) for byte in text.encode()]
    assert "".join(pieces) == text.rstrip(REPLACEMENT) or REPLACEMENT in text
    assert all(REPLACEMENT not in piece for piece in pieces) or REPLACEMENT in text


@law
@given(st.binary(max_size=40))
@example(b"\xf0\x9f\x98")
@example(b"a\xff\xc3\xa9\xf0\x9f")
def test_pieces_of_any_bytes_join_to_the_whole_decoding(data: bytes) -> None:
    stream = Detokeniser(byte_decode)
    assert "".join(stream.push(byte) for byte in data) == byte_decode(data).rstrip(REPLACEMENT)


pieces_of_text = st.lists(st.text(alphabet="abc", max_size=4), max_size=20)
stop_lists = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=3)


@law
@given(pieces_of_text, stop_lists)
def test_everything_before_the_first_stop_string_and_nothing_of_it(pieces: list[str], stops: list[str]) -> None:
    scanner = StopScanner(stops)
    shown = ""
    for piece in pieces:
        shown += scanner.push(piece)
        assert first_stop(shown, stops) == len(shown), "leaked"
    text = "".join(pieces)
    if scanner.matched is None:
        shown += scanner.flush()
    assert shown == text[: first_stop(text, stops)]
    assert (scanner.matched is not None) == (first_stop(text, stops) < len(text))


@law
@given(pieces_of_text, stop_lists)
def test_text_is_held_back_only_while_it_may_become_a_stop_string(pieces: list[str], stops: list[str]) -> None:
    scanner = StopScanner(stops)
    shown = "".join(scanner.push(piece) for piece in pieces)
    held = "".join(pieces)[len(shown) :]
    assert scanner.matched is not None or not held or any(stop.startswith(held) for stop in stops)


def test_a_stop_string_across_three_tokens_and_a_split_character() -> None:
    stream = TextStream(byte_decode, ["né!"])
    shown = "".join(stream.push(byte) for byte in "so né! no".encode())
    assert shown == "so "
    assert stream.stopped
