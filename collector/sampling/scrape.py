"""A Prometheus page as a source of samples; one that does not answer gives none."""

import http.client
import logging
import time
import urllib.request
from collections.abc import Mapping, Sequence

from collector.sampling.cumulative import Beginnings
from collector.sampling.reading import Found, Reading, found, named
from collector.sampling.sample import Sample
from conventions import plugins

FOLDER = "collector.scrapes"
TIMEOUT_S = 2.0  # for the next bytes, and for all of them
MAX_PAGE = 16_000_000  # bytes
READ_BYTES = 65_536

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
            page = _page(self._url)
            values = found(page, named(page, self._names) if self._names else self._readings)
        except (OSError, http.client.HTTPException, ValueError) as error:
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


def _page(url: str) -> str:
    """The whole text at ``url``: the last number of a part may be any.

    Raises ``OSError``, ``HTTPException``, ``ValueError``.
    """
    parts, size, end_s = [], 0, time.monotonic() + TIMEOUT_S
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        while part := answer.read1(READ_BYTES):
            parts.append(part)
            size += len(part)
            if size > MAX_PAGE or time.monotonic() > end_s:
                raise ValueError(f"a page has at most {MAX_PAGE} bytes and takes at most {TIMEOUT_S:g} s")
    page = b"".join(parts).decode("utf-8")
    if not page.endswith("\n"):
        raise ValueError("the page is cut short")
    return page
