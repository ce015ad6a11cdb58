"""The two encodings of OTLP/HTTP: how a body becomes a message and how an answer goes back in the same encoding."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status

from collector.decoding import otlp_json, salvage
from collector.decoding.batch import Refusals
from conventions.errors import MalformedPayload, UnsupportedMedia

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MediaType = Literal["application/x-protobuf", "application/json"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One of the two encodings by its media type."""

    media_type: MediaType

    def parse(self, body: bytes, message: Any) -> Refusals:
        """Fill ``message`` with what is valid of ``body``; gives what was left out. Raises ``MalformedPayload``."""
        if self.media_type == JSON:
            return otlp_json.parse(body, message)
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            return _salvaged(body, message, error)
        return Refusals()

    def render(self, message: Message) -> bytes:
        """``message`` as an answer's body."""
        if self.media_type == JSON:
            return str(json_format.MessageToJson(message, indent=None)).encode()
        return bytes(message.SerializeToString())

    def failure(self, status: int, reason: str) -> bytes:
        """A ``google.rpc.Status``, as OTLP asks of every 4xx and 5xx answer."""
        return self.render(Status(code=GRPC_CODES.get(status, UNKNOWN), message=reason))


def _salvaged(body: bytes, message: Any, first_error: DecodeError) -> Refusals:
    try:
        refusals = salvage.parse(body, message)
    except DecodeError:
        refusals = Refusals()
    if not refusals.count:
        raise MalformedPayload(f"the body is not an OTLP protobuf message: {first_error}")
    return refusals


UNKNOWN = 2
GRPC_CODES = {400: 3, 401: 16, 403: 7, 408: 4, 413: 8, 415: 3, 503: 14}


SPOKEN: Final = {PROTOBUF: Encoding(PROTOBUF), JSON: Encoding(JSON)}


def of(content_type: str) -> Encoding:
    """The encoding that the header names. Raises ``UnsupportedMedia``."""
    name = _named(content_type)
    if name not in SPOKEN:
        raise UnsupportedMedia(f"content type {name or 'missing'!r} is not spoken here: send {PROTOBUF} or {JSON}")
    return SPOKEN[name]


def to_answer(content_type: str) -> Encoding:
    """The encoding of an answer to what the header names: the same, or JSON where that is not spoken."""
    return SPOKEN.get(_named(content_type), SPOKEN[JSON])


def _named(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
