"""What the dialects say of all spans of a template: asked once with one of them, and where that answer holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from collector.decoding.alike import template as layout
from collector.decoding.alike.template import Template
from collector.normalising import values
from collector.normalising.flows import Asked, Condition, Decides, Flowing, Node, Root, told_by
from collector.normalising.recognition import Recogniser
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.values import Attributes

MOST_TOLD: Final = 16
"""Values that an answer may depend on; more are asked for by nobody, and each costs one more asking."""
NAME, DURATION = "name", "duration_s"


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and attributes left over, as nodes or constants, for the spans for which all conditions are true.

    Of the roots ``told`` the spans have the same value as the one that was asked about.
    """

    columns: Mapping[str, Any]
    attributes: Mapping[str, Any]
    conditions: tuple[Condition, ...]
    told: Mapping[Root, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A span of a template, decoded."""

    template: Template
    span: SeenSpan
    constants: Mapping[str, Any]  # columns that all spans of the template share


def asked(recogniser: Recogniser, sample: Sample, kept: Callable[[Attributes], Attributes]) -> Answer | None:
    """The answer of which ``sample`` is an example; ``None`` when it depends on too much. ``kept``: without content."""
    told: set[Root] = set()
    while len(told) <= MOST_TOLD:
        asking = Asked()
        seen = _seen(sample, asking, told)
        try:
            fields = recogniser.fields(seen)
        except Decides:
            fields = {}
        if not asking.touched:
            return _answer(sample, fields, kept(seen.attributes), asking, told)
        if asking.touched <= told:
            return None
        told |= asking.touched
    return None


def _answer(sample: Sample, fields: Fields, left: Attributes, asking: Asked, told: set[Root]) -> Answer | None:
    attributes = {key: told_by(value) for key, value in left.items()}
    texts = {key: value if isinstance(value, Node) else values.text(value) for key, value in attributes.items()}
    if any(len(text) > values.MAX_TEXT for text in texts.values() if isinstance(text, str)):
        return None
    columns = {**{column: told_by(value) for column, value in fields.items()}, **sample.constants}
    return Answer(columns, texts, tuple(asking.conditions), {root: _sampled(sample, root) for root in told})


def _seen(sample: Sample, asking: Asked, told: set[Root]) -> SeenSpan:
    def of(root: Root, value: Any) -> Any:
        return value if root in told else asking.root(root, value)

    span, template = sample.span, sample.template
    return replace(
        span,
        name=of(NAME, span.name) if template.of_field(layout.NAME) else span.name,
        attributes=Flowing((key, of(at, span.attributes[key])) for at, key in enumerate(template.keys)),
        duration_s=of(DURATION, span.duration_s),
    )


def _sampled(sample: Sample, root: Root) -> Any:
    if isinstance(root, int):
        return sample.span.attributes[sample.template.keys[root]]
    return sample.span.name if root == NAME else sample.span.duration_s
