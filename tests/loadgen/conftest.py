from collections.abc import Iterator

import pytest

from tests.loadgen.loadgen_stub import Stub, started


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    """A chat server with known truth."""
    yield from started()


@pytest.fixture
def sink() -> Iterator[Stub]:
    """A collector that keeps what it gets; fresh for every test."""
    yield from started()
