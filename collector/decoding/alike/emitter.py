"""One sender of spans, what is known of how it builds them, and how that is learnt.

Learning costs as much as decoding some fifty spans the careful way. Templates are few, and a sender that builds its
spans in ever new ways is learnt from less and less often: its spans are decoded one by one then.
"""

import logging
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collector.decoding.alike.answer import Answer, Sample, asked
from collector.decoding.alike.layers import Sender, put_together
from collector.decoding.alike.loading import Loaded, loaded
from collector.decoding.alike.table import RELATION, Evaluation, answered, table
from collector.decoding.alike.template import Template, Unlike, learnt
from collector.decoding.alike.walk import Ints, Spans, Truths, walked
from collector.decoding.columns import Rows
from collector.decoding.spans import SpanDecoder, seen_span, shared_columns, status_of
from collector.normalising import values
from collector.normalising.values import Attributes, Renderer

_log = logging.getLogger(__name__)

FEWEST: Final = 80
"""Spans that are decoded together: a table costs 1 to 2 ms whatever is in it, and a span alone 20 µs."""
MOST_TEMPLATES: Final = 16
MOST_ANSWERS: Final = 16  # of a template
TRIES: Final = 4  # spans that may be learnt from in vain, of those that came together
GOLDEN: Final = 0.6180339887
"""Steps of so much of a circle come near every place: those that are tried are not the same ones every time."""
LONGEST_PAUSE: Final = 64
"""Times that a sender may be passed over before it is learnt from again."""


@dataclass(slots=True)
class Patience:
    """When to try again what was tried in vain: after twice as long every time."""

    pause: int = 0
    waited: int = 0

    def is_over(self) -> bool:
        """Whether it is time; counts."""
        self.waited += 1
        return self.waited > self.pause

    def tried(self, *, in_vain: bool) -> None:
        """It was tried."""
        self.waited, self.pause = 0, min(LONGEST_PAUSE, 2 * self.pause + 1) if in_vain else 0


@dataclass(slots=True)
class Given:
    """An answer of the dialects, and for which share of the emitter's spans it held of late."""

    answer: Answer
    share: float = 0.0


@dataclass(slots=True)
class Known:
    """A template and the dialects' answers for it."""

    template: Template
    answers: list[Given] = field(default_factory=list)
    patience: Patience = field(default_factory=Patience)

    @property
    def share(self) -> float:
        """Of the answer that holds for most."""
        return max((given.share for given in self.answers), default=0.0)


@dataclass(slots=True)
class Emitter:
    """A resource and a scope, and how their spans are built. Not for threads."""

    decoder: SpanDecoder
    sender: Sender
    resource: Attributes
    shared: dict[str, Any]
    repeated: int  # characters that each of its rows repeats
    fewest: int  # spans that are decoded together
    known: list[Known] = field(default_factory=list)
    patience: Patience = field(default_factory=Patience)
    picked: int = 0

    @classmethod
    def of(cls, decoder: SpanDecoder, sender: Sender, fewest: int = FEWEST) -> "Emitter | None":
        """``None`` for one whose resource is cut, or is not protobuf."""
        try:
            resource = values.attributes(Resource.FromString(sender[0]).attributes)
            name = InstrumentationScope.FromString(sender[1]).name
        except DecodeError:
            return None
        renderer = Renderer()
        shared, scope = shared_columns(resource, renderer, 0), renderer.bounded(name)
        if renderer.cut:
            return None
        repeated = values.size(shared) + len(scope)
        return cls(decoder, sender, resource, {**shared, "scope": scope or None}, repeated, fewest)

    def decode(self, items: list[bytes], received_ns: Ints, into: Rows) -> Truths:
        """Rows of those spans that are built alike go to ``into``; gives which they are."""
        work = _Work(items, Spans.of(items), received_ns, np.zeros(len(items), np.bool_), into)
        for known in sorted(self.known, key=lambda one: -one.share):
            if known.share * len(items) >= self.fewest:
                self._take(known, work)
        if np.count_nonzero(~work.taken) >= self.fewest and self.patience.is_over():
            self._learn(work)
        return work.taken

    def _learn(self, work: "_Work") -> None:
        """Templates of spans that none fits, as long as that is worth it."""
        vain = 0
        strange = np.flatnonzero(~work.taken)
        while len(strange) >= self.fewest and vain < TRIES:
            known = self._known(work.items[self._one_of(strange)])
            if known is not None and self._take(known, work):
                strange = np.flatnonzero(~work.taken)
                self._keep(known)
            else:
                vain += 1
        self.patience.tried(in_vain=vain > 0)

    def _one_of(self, rows: Ints) -> int:
        self.picked += 1
        return int(rows[int(self.picked * GOLDEN % 1 * len(rows))])

    def _known(self, item: bytes) -> Known | None:
        try:
            template = learnt(item)
        except Unlike:
            return None
        return next((one for one in self.known if one.template == template), Known(template))

    def _keep(self, known: Known) -> None:
        if known not in self.known:
            if len(self.known) >= MOST_TEMPLATES:
                self.known.remove(min(self.known, key=lambda one: one.share))
            self.known.append(known)

    def _take(self, known: Known, work: "_Work") -> bool:
        """Decode what fits ``known`` of the spans that are not yet taken, and mark it; False if that is nothing."""
        rows = np.flatnonzero(~work.taken)
        if len(rows) < self.fewest:
            return False
        left: Loaded | None = loaded(walked(known.template, work.spans, rows), work.received_ns)
        for given in sorted(known.answers, key=lambda one: -one.share):
            left = self._hold(given, left, work)
        if left is not None and len(left) >= self.fewest and known.patience.is_over():
            self._ask(known, left, work)
        return bool(np.count_nonzero(~work.taken) < len(rows))

    def _hold(self, given: Given, left: Loaded | None, work: "_Work") -> Loaded | None:
        """Rows of those for which an answer holds; gives the others. A few make no table: nobody takes them."""
        if left is None or len(left) < self.fewest:
            return left
        evaluation = Evaluation(left)
        chosen = answered(evaluation, given.answer)
        many = int(np.count_nonzero(chosen))
        given.share = many / len(work.items)
        if many >= self.fewest:
            evaluation = evaluation if many == len(left) else Evaluation(left.only(chosen))
            work.into.of(RELATION).include(table(evaluation, given.answer, self.shared, work.received_ns))
            work.taken[evaluation.spans.walked.rows] = True
        if many == len(left):
            return None
        return left.only(~chosen) if many else left

    def _ask(self, known: Known, spans: Loaded, work: "_Work") -> None:
        """New answers, as long as they hold for enough."""
        vain, left = 0, cast(Loaded | None, spans)
        while left is not None and len(left) >= self.fewest and vain < TRIES:
            place = self._one_of(np.arange(len(left)))
            answer = self._asked(known.template, work, left.at(place))
            given = Given(answer) if answer is not None else None
            if given is not None:
                left = self._hold(given, left, work)
            if given is None or given.share * len(work.items) < self.fewest:
                vain += 1
                continue
            if len(known.answers) >= MOST_ANSWERS:
                known.answers.remove(min(known.answers, key=lambda one: one.share))
            known.answers.append(given)
        known.patience.tried(in_vain=vain > 0)

    def _asked(self, template: Template, work: "_Work", one: Loaded) -> Answer | None:
        """What the dialects say of one span, if it comes to what the careful way makes of it."""
        row = int(one.walked.rows[0])
        request = ExportTraceServiceRequest.FromString(put_together([(self.sender, [work.items[row]])]))
        message = request.resource_spans[0].scope_spans[0].spans[0]
        seen = seen_span(message, self.resource, self.shared["scope"] or "")
        constants = {"name": seen.name, "kind": seen.kind, "status": status_of(message)}
        answer = asked(self.decoder.recogniser, Sample(template, seen, constants), self.decoder.kept)
        if answer is None:
            return None
        received_ns = int(work.received_ns[row])
        carefully = self.decoder.decode(request, received_ns).tables[RELATION].to_pylist()
        evaluation = Evaluation(one)
        here = table(evaluation, answer, self.shared, work.received_ns).to_pylist()
        if not answered(evaluation, answer)[0] or repr(here) != repr(carefully):
            _log.warning("a dialect looked at a value unnoticed: such spans are decoded one by one")
            return None
        return answer


@dataclass(frozen=True, slots=True)
class _Work:
    """Spans of the emitter that came together, and which of them are decoded."""

    items: list[bytes]
    spans: Spans
    received_ns: Ints
    taken: Truths
    into: Rows
