"""Asks the dialects in order of rank which one a span speaks."""

from collections.abc import Sequence

from collector.normalising.seen import Dialect, Fields, SeenSpan
from conventions import plugins

FOLDER = "collector.dialects"


class Recogniser:
    """All dialects, lowest rank first."""

    def __init__(self, dialects: Sequence[tuple[str, Dialect]]) -> None:
        self._dialects = sorted(dialects, key=lambda named: (named[1].rank, named[0]))

    def fields(self, span: SeenSpan) -> Fields:
        """The promoted columns and ``dialect``; empty if the span is not a model call."""
        for name, dialect in self._dialects:
            if dialect.recognises(span):
                fields = dialect.normalise(span)
                fields["dialect"] = name
                return fields
        return {}


def every_dialect() -> Recogniser:
    """A recogniser with every module of ``collector/dialects`` and every ``tokenjoule.dialects`` entry point."""
    return Recogniser([(name, plugins.load(FOLDER, name, "Dialect")()) for name in plugins.names(FOLDER)])
