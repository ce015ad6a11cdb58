"""What can be kept of an OTLP message that protobuf refuses: the items that are valid by themselves.

One string that is not UTF-8 makes protobuf refuse a whole request. Here the request is read again with its items
(spans, metrics, log records) as plain bytes, those that do not parse are taken out and counted, and the rest is parsed.
A metric counts as one whatever number of points it has. A request whose outer structure is broken, a truncated one for
example, stays refused.
"""

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


def _layers() -> Any:
    """An export request of any signal, with its resources, scopes and items as bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="tokenjoule/layers.proto", package="tokenjoule", syntax="proto3")
    _message(file, "Scope", ("head", HEAD, "", False), ("items", ITEMS, "", True), ("schema_url", 3, "", False))
    _message(
        file, "Resource", ("head", HEAD, "", False), ("scopes", ITEMS, "Scope", True), ("schema_url", 3, "", False)
    )
    _message(file, "Request", ("resources", 1, "Resource", True))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tokenjoule.Request"))


def _message(file: Any, name: str, *fields: tuple[str, int, str, bool]) -> None:
    message = file.message_type.add(name=name)
    proto = descriptor_pb2.FieldDescriptorProto
    for field, number, kind, repeated in fields:
        added = message.field.add(name=field, number=number)
        added.type = proto.TYPE_MESSAGE if kind else proto.TYPE_BYTES
        added.label = proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL
        if kind:
            added.type_name = f".tokenjoule.{kind}"


LAYERS = _layers()
