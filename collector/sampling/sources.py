"""Which samplers a configuration asks for: hardware and processes, each metrics page, and ourselves.

Pages have threads of their own, so that an engine that answers late does not delay a reading of energy.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial

from collector.counters import Counters
from collector.ingesting.pipeline import Pipeline
from collector.sampling.engineprocess import EngineProcess
from collector.sampling.hardware import ProbeClass, load_probes, open_probes
from collector.sampling.hostcpu import HostCpu
from collector.sampling.sample import Source
from collector.sampling.sampler import OpenSources, Sampler
from collector.sampling.scrape import ScrapedPage
from collector.sampling.selfwatch import INTERVAL_S as SELF_S
from collector.sampling.selfwatch import SelfWatch
from collector.settings import CollectorSettings
from collector.settling.settle import Settler


def samplers(settings: CollectorSettings, pipeline: Pipeline, counters: Counters, settler: Settler) -> list[Sampler]:
    """All samplers, not yet started. Raises ``PluginError`` for an unknown probe or exporter."""
    classes = load_probes(settings.sampler.probes)
    every_s = settings.sampler.interval_s
    opened: list[tuple[OpenSources, float]] = [(partial(_hardware_and_processes, classes, settings, pipeline), every_s)]
    for process in settings.processes:
        if process.metrics_url is not None:
            opened.append((partial(_one, ScrapedPage(process.metrics_url, "vllm", process.engine)), every_s))
    for page in settings.scrapes:
        scraped = ScrapedPage(page.url, page.map, page.engine, page.names)
        opened.append((partial(_one, scraped), page.interval_s))
    opened.append((partial(_one, SelfWatch(counters.registry, settler)), SELF_S))
    return [Sampler(sources, interval_s, pipeline, counters) for sources, interval_s in opened]


@contextmanager
def running(started: Sequence[Sampler]) -> Iterator[None]:
    """The samplers run inside; on leaving each takes a last sample."""
    for sampler in started:
        sampler.start()
    try:
        yield
    finally:
        for sampler in started:
            sampler.stop()


@contextmanager
def _hardware_and_processes(
    classes: Sequence[tuple[str, ProbeClass]], settings: CollectorSettings, pipeline: Pipeline
) -> Iterator[Sequence[Source]]:
    with ExitStack() as opened:
        probes = open_probes(classes, settings.sampler.replay, pipeline.tap)
        for probe in probes:
            opened.callback(probe.close)
        processes = [EngineProcess(process.engine, process.port) for process in settings.processes]
        yield [*probes, HostCpu(), *processes]


def _one(source: Source) -> AbstractContextManager[Sequence[Source]]:
    return nullcontext([source])
