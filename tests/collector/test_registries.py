"""What every file of the two registry folders keeps to."""

import pytest

from collector.decoding.spans import KINDS
from collector.dialects import __name__ as DIALECTS
from collector.normalising.seen import SeenSpan
from collector.probes import __name__ as PROBES
from collector.sampling.sample import ProbeContext, ProbeUnavailable
from conventions import plugins


def plain(kind: str) -> SeenSpan:
    return SeenSpan("GET /", kind, "", {"http.request.method": "GET"}, {}, 1.0, False, list)


@pytest.mark.parametrize("name", plugins.names(DIALECTS))
def test_a_dialect_recognises_no_span_without_its_marks(name: str) -> None:
    dialect = plugins.load(DIALECTS, name, "Dialect")()
    assert not any(dialect.recognises(plain(kind)) for kind in KINDS)


def test_no_two_dialects_have_the_same_rank() -> None:
    ranks = [plugins.load(DIALECTS, name, "Dialect").rank for name in plugins.names(DIALECTS)]
    assert len(set(ranks)) == len(ranks)


@pytest.mark.parametrize("name", plugins.names(PROBES))
def test_a_probe_opens_or_says_why_not(name: str) -> None:
    kind = plugins.load(PROBES, name, "Probe")
    assert isinstance(kind.estimates, bool)
    try:
        probe = kind(ProbeContext())
    except ProbeUnavailable as why:
        assert "\n" not in str(why)  # noqa: PT017  # either outcome is right
        return
    samples = probe.read()
    probe.close()
    assert probe.description
    assert all(sample.provenance is None or sample.provenance.scope in probe.scopes for sample in samples)
