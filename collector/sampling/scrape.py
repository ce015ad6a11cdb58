"""A Prometheus page as a source of samples; one that does not answer gives none."""

import logging
import time
import urllib.request
from collections.abc import Mapping, Sequence

from collector.sampling.cumulative import Beginnings
from collector.sampling.reading import Found, Reading, found, named
from collector.sampling.sample import Sample
from conventions import plugins

FOLDER = "collector.scrapes"
TIMEOUT_S = 2.0
MAX_PAGE = 16_000_000  # bytes

_log = logging.getLogger(__name__)


class ScrapedPage:
    """The page at ``url``, read as the exporter ``kind``, or by a table of series and instrument names.

    Raises ``PluginError`` for an unknown exporter.
    """

    def __init__(self, url: str, kind: str, engine: str | None, names: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._names = dict(names or {})
        self._readings: Sequence[Reading] = () if self._names else plugins.load(FOLDER, kind, "READINGS")
        self._engine = engine
        self._beginnings = Beginnings()
        self._answered = True

    def read(self) -> list[Sample]:
        """Counters and gauges now."""
        try:
            with urllib.request.urlopen(self._url, timeout=TIMEOUT_S) as answer:
                page = answer.read(MAX_PAGE).decode("utf-8")
            values = found(page, named(page, self._names) if self._names else self._readings)
        except (OSError, ValueError) as error:
            self._say_once(error)
            return []
        self._answered = True
        now_ns = time.time_ns()
        return [self._sample(one, now_ns) for one in values]

    def _sample(self, one: Found, now_ns: int) -> Sample:
        series = (one.instrument.name, one.device)
        is_counter = one.instrument.kind == "counter"
        start_ns = self._beginnings.start_ns(series, one.value, now_ns) if is_counter else None
        return Sample(one.instrument, one.value, now_ns, start_ns, one.device, one.provenance, self._engine)

    def _say_once(self, error: Exception) -> None:
        if self._answered:
            _log.info("%s does not answer: %s", self._url, error)
        self._answered = False
