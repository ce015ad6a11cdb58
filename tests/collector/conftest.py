"""Collectors for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.receiver import Receiver, Store
from tests.collector.running_collector import RunningCollector, Start, started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts collectors over one data folder."""
    with started(tmp_path) as starting:
        yield starting


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """One collector for the tests of a module."""
    with started(tmp_path_factory.mktemp("collector")) as starting:
        yield starting("max_body_mb = 1")


@pytest.fixture
def store() -> Store:
    """A store in name only, that can stall."""
    return Store()


@pytest.fixture
def receiver(store: Store, tmp_path: Path) -> Iterator[Receiver]:
    """Both receivers over ``store``."""
    made = Receiver(store, tmp_path / "spool")
    yield made
    store.gate.set()
    made.pipeline.close()
