"""Decompress a request body with the size limit enforced while decompressing, so that a bomb cannot grow.

Sources: RFC 9110 §8.4 (gzip, deflate), RFC 8878 (zstd).
"""

import zlib
from collections.abc import Callable

import zstandard

from conventions.errors import MalformedPayload, PayloadTooLarge, UnsupportedMedia

GZIP_WINDOW = 31
ZLIB_WINDOW = 15
RAW_WINDOW = -15
ZSTD_MAX_WINDOW = 1 << 25
ZSTD_PIECE = 256  # at most 128 KiB out per 4 bytes in: one piece overshoots the limit by 8 MiB at worst


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before ``Content-Encoding: encoding`` (empty or ``identity``: unchanged).

    Raises ``UnsupportedMedia``, ``PayloadTooLarge`` (over ``limit`` bytes) or ``MalformedPayload``.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _within(body, limit)
    if name not in ENCODINGS:
        raise UnsupportedMedia(
            f"content encoding {encoding!r} is not spoken here: send {', '.join(ENCODINGS)} or identity"
        )
    try:
        return ENCODINGS[name](body, limit)
    except (zlib.error, zstandard.ZstdError) as error:
        raise MalformedPayload(f"the body is not valid {name}: {error}") from None


def too_large(limit: int) -> PayloadTooLarge:
    """The refusal of a body over ``limit`` bytes, with the remedy."""
    return PayloadTooLarge(
        f"the body is over {limit} bytes decompressed: send smaller batches, or raise [collector] max_body_mb"
    )


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise too_large(limit)
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit
    while body:
        part, body = _inflate(body, GZIP_WINDOW, room, limit)
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def _undeflate(body: bytes, limit: int) -> bytes:
    """HTTP's deflate is zlib's format; some senders leave the zlib header out."""
    try:
        return _inflate(body, ZLIB_WINDOW, limit, limit)[0]
    except zlib.error:
        return _inflate(body, RAW_WINDOW, limit, limit)[0]


def _inflate(body: bytes, window: int, room: int, limit: int) -> tuple[bytes, bytes]:
    """One compressed stream and what follows it; ``room`` is what is left of ``limit``."""
    stream = zlib.decompressobj(window)
    part = stream.decompress(body, room + 1)
    if len(part) > room:
        raise too_large(limit)
    if not stream.eof:
        raise MalformedPayload("the compressed body ends too early: send it whole")
    return part, stream.unused_data


def _unzstd(body: bytes, limit: int) -> bytes:
    stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW).decompressobj()
    parts: list[bytes] = []
    room = limit
    for start in range(0, len(body), ZSTD_PIECE):
        part = stream.decompress(body[start : start + ZSTD_PIECE])
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise too_large(limit)
        if stream.eof:
            break
    if not stream.eof:
        raise MalformedPayload("the compressed body ends too early: send it whole")
    return b"".join(parts)


ENCODINGS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gunzip, "zstd": _unzstd, "deflate": _undeflate}
