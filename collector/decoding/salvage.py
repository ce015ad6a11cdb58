"""What can be kept of an OTLP message that protobuf refuses: the items that are valid by themselves.

One string that is not UTF-8 makes protobuf refuse a whole request. Here the request is read again with its items
(spans, metrics, log records) as plain bytes, those that do not parse are taken out and counted, and the rest is parsed.
A metric counts as one whatever number of points it has. A request whose outer structure is broken, a truncated one for
example, stays refused.
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from collector.decoding.batch import Refusals

REASON = "{} is not valid protobuf: its text is not UTF-8, or it is nested too deep"
HEAD, ITEMS = 1, 2  # field numbers in resource_spans and scope_spans; metrics and logs have the same


def parse(body: bytes, message: Message) -> Refusals:
    """Fill ``message`` with the valid items of ``body``; the others are refused. Raises ``DecodeError``."""
    refusals = Refusals()
    layers = LAYERS()
    layers.ParseFromString(body)
    resource_type = _field(message.DESCRIPTOR, 1)
    scope_type = _field(resource_type, ITEMS)
    for resource in layers.resources:
        whole = _valid(resource.head, _field(resource_type, HEAD))
        for scope in resource.scopes:
            whole_scope = whole and _valid(scope.head, _field(scope_type, HEAD))
            _keep_valid(scope, _field(scope_type, ITEMS), refusals, whole=whole_scope)
            if not whole_scope:
                scope.ClearField("head")
        if not whole:
            resource.ClearField("head")
    message.ParseFromString(layers.SerializeToString())
    return refusals


def _keep_valid(scope: Any, item_type: Any, refusals: Refusals, *, whole: bool) -> None:
    kept = [item for item in scope.items if whole and _valid(item, item_type)]
    refused = len(scope.items) - len(kept)
    noun = item_type.name.lower() if whole else "the resource or scope"
    for _ in range(refused):
        refusals.add(REASON.format(noun))
    del scope.items[:]
    scope.items.extend(kept)


def _valid(body: bytes, kind: Any) -> bool:
    try:
        message_factory.GetMessageClass(kind).FromString(body)
    except DecodeError:
        return False
    return True


def _field(kind: Any, number: int) -> Any:
    return kind.fields_by_number[number].message_type


def message_type(name: str, **messages: Sequence[tuple[str, int, str, bool]]) -> Any:
    """A message class of fields (name, number, kind, repeated): ``bytes``, ``string`` or one of the messages."""
    file = descriptor_pb2.FileDescriptorProto(name=f"tokenjoule/{name}.proto", package="tokenjoule", syntax="proto3")
    proto = descriptor_pb2.FieldDescriptorProto
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for field, number, kind, repeated in fields:
            added = described.field.add(name=field, number=number)
            added.type = {"bytes": proto.TYPE_BYTES, "string": proto.TYPE_STRING}.get(kind, proto.TYPE_MESSAGE)
            added.label = proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL
            if added.type == proto.TYPE_MESSAGE:
                added.type_name = f".tokenjoule.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tokenjoule.{name}"))


LAYERS = message_type(
    "Request",
    Scope=[("head", HEAD, "bytes", False), ("items", ITEMS, "bytes", True), ("schema_url", 3, "bytes", False)],
    Resource=[("head", HEAD, "bytes", False), ("scopes", ITEMS, "Scope", True), ("schema_url", 3, "bytes", False)],
    Request=[("resources", 1, "Resource", True)],
)
"""An export request of any signal, with its resources, scopes and items as bytes."""
