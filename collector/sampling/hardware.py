"""Opens the probes that this machine has; each that it has not is one line of information, not an error."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from collector.ingesting.tap import OpenTap
from collector.sampling.sample import Probe, ProbeContext, ProbeUnavailable, scopes_of
from conventions import plugins

FOLDER = "collector.probes"

ProbeClass = Callable[[ProbeContext], Probe]

READINGS = 20  # to know what one costs

_log = logging.getLogger(__name__)


def load_probes(choices: Sequence[str]) -> list[tuple[str, ProbeClass]]:
    """The probe classes of ``choices``, measuring ones before estimating ones.

    Raises ``PluginError`` for a name that is none.
    """
    classes = [(name, plugins.load(FOLDER, name, "Probe")) for name in choices]
    return sorted(classes, key=lambda named: bool(named[1].estimates))


def open_probes(
    classes: Sequence[tuple[str, ProbeClass]], replay: Path | None, open_tap: OpenTap | None = None
) -> list[Probe]:
    """Those that open, in order; a later one is told what earlier ones cover."""
    opened: list[Probe] = []
    for name, kind in classes:
        try:
            probe = kind(ProbeContext(scopes_of(opened), replay, open_tap))
        except ProbeUnavailable as why:
            _log.info("probe %s: %s", name, why)
        else:
            _log.info("probe %s: %s", name, probe.description)
            opened.append(probe)
    return opened


def reading_cost_s(probe: Probe) -> float:
    """CPU seconds of this process in one reading of ``probe``, mean of ``READINGS``."""
    began_s = time.process_time()
    for _ in range(READINGS):
        probe.read()
    return (time.process_time() - began_s) / READINGS
