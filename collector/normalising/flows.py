"""Values that are not told: a dialect is asked once about many spans that are built alike.

A ``Flow`` stands where the spans differ. Dialects pass values on, which a flow bears. What looks into one raises
``Decides``: the dialect is then asked again with that value told, and its answer holds for spans of that value only.
``lifted`` and ``holds`` are for rules that compute with values: they note what they would do, and it is done later for
all spans at once. A comparison with ``==`` is noted in the same way. With plain values all of this is plain Python.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

Root = int | str  # the place of an attribute, or what else differs from span to span


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """How a value comes about: a root of the span, or a function of nodes and of constants."""

    sample: Any  # its value in the span that is asked about
    root: Root | None = None
    function: Callable[..., Any] | None = None
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to be true of a span for the answer to hold: ``node`` is None or not, or is so when taken as a truth."""

    node: Node
    outcome: bool
    of_none: bool = False


@dataclass(slots=True)
class Asked:
    """What one asking found out: conditions of the answer, and the roots that were looked into."""

    conditions: list[Condition] = field(default_factory=list)
    touched: set[Root] = field(default_factory=set)

    def root(self, root: Root, sample: Any) -> "Flow":
        """A value of the span that is not told."""
        return Flow(Node(sample, root), self)


class Decides(Exception):
    """A value that was not told was looked into."""


class Flow:
    """A value that is not told. It can be kept and passed on; everything else asks what it is."""

    __slots__ = ("asked", "node")

    def __init__(self, node: Node, asked: Asked) -> None:
        self.node = node
        self.asked = asked

    def __getattribute__(self, name: str) -> Any:
        """Its attributes, its class among them (``isinstance``), are those of the value."""
        _look_into(self)

    def __eq__(self, other: object) -> bool:
        return _noted(operator.eq, (self, other))

    def __ne__(self, other: object) -> bool:
        return _noted(operator.ne, (self, other))

    def __hash__(self) -> int:
        _look_into(self)
        return 0


class Flowing(dict[str, Any]):
    """Attributes of which some values are flows."""


def lifted(function: Callable[..., Any], *values: Any) -> Any:
    """``function(*values)``, a pure function; of flows it is noted whether that is None, and otherwise flows on."""
    for value in values:
        if type(value) is Flow:
            return _flowing(function, values)
    return function(*values)


def holds(function: Callable[..., Any], *values: Any) -> bool:
    """Whether ``function(*values)``, a pure function; of flows it is noted what came out."""
    for value in values:
        if type(value) is Flow:
            return _noted(function, values)
    return bool(function(*values))


def told_by(value: Any) -> Any:
    """The node of a flow; any other value itself."""
    return _NODE(value) if type(value) is Flow else value


def roots(node: Node) -> set[Root]:
    """What ``node`` is made of."""
    if node.root is not None:
        return {node.root}
    return {root for one in node.arguments if isinstance(one, Node) for root in roots(one)}


_NODE: Final[Callable[[Flow], Node]] = Flow.__dict__["node"].__get__  # around ``__getattribute__``
_ASKED: Final[Callable[[Flow], Asked]] = Flow.__dict__["asked"].__get__


def _flowing(function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    node, asked = _applied(function, values)
    asked.conditions.append(Condition(node, node.sample is None, of_none=True))
    return None if node.sample is None else Flow(node, asked)


def _noted(function: Callable[..., Any], values: tuple[Any, ...]) -> bool:
    node, asked = _applied(function, values)
    outcome = bool(node.sample)
    asked.conditions.append(Condition(node, outcome))
    return outcome


def _applied(function: Callable[..., Any], values: tuple[Any, ...]) -> tuple[Node, Asked]:
    nodes = tuple(told_by(value) for value in values)
    sample = function(*(one.sample if isinstance(one, Node) else one for one in nodes))
    asked = next(_ASKED(value) for value in values if type(value) is Flow)
    return Node(sample, None, function, nodes), asked


def _look_into(flow: Flow, *_others: Any) -> Any:
    _ASKED(flow).touched |= roots(_NODE(flow))
    raise Decides


_ASKING = (
    *("bool", "len", "iter", "contains", "getitem", "call", "str", "repr", "format", "bytes"),
    *("int", "float", "complex", "index", "round", "trunc", "floor", "ceil", "neg", "pos", "abs", "invert"),
    *("lt", "le", "gt", "ge"),
    *(
        prefix + name
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow"),
            *("and", "or", "xor", "lshift", "rshift", "matmul"),
        )
        for prefix in ("", "r")
    ),
)
for _name in _ASKING:
    setattr(Flow, f"__{_name}__", _look_into)
