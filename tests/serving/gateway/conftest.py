"""Real processes for the gateway's tests: stub backends, an OTLP receiver, the gateway itself."""

import secrets
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.serving.gateway.gateway_process import Running, Trace, launch
from tests.serving.gateway.openai_stub import Behaviour, Stub
from tests.serving.otlp_sink import Sink

hypothesis.settings.register_profile("laws", max_examples=50, deadline=None)
hypothesis.settings.load_profile("laws")


@pytest.fixture
def trace() -> Trace:
    return Trace(secrets.token_hex(16), secrets.token_hex(8))


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


@pytest.fixture(scope="module")
def two_stubs() -> Iterator[tuple[Stub, Stub]]:
    first, second = Stub(), Stub()
    first.start()
    second.start()
    yield first, second
    first.stop()
    second.stop()


@pytest.fixture
def stubs(two_stubs: tuple[Stub, Stub]) -> tuple[Stub, Stub]:
    """The module's stubs, well behaved and with no memory."""
    for stub in two_stubs:
        stub.behaviour = Behaviour()
        stub.seen.clear()
    return two_stubs


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory, sink: Sink, two_stubs: tuple[Stub, Stub]
) -> Iterator[Callable[[str], Running]]:
    """Starts gateways from the text of their settings; stops them all before what they talk to is stopped."""
    running: list[Running] = []

    def begin(text: str) -> Running:
        config = tmp_path_factory.mktemp("gateway") / "gateway.toml"
        config.write_text(text)
        running.append(launch(config))
        return running[-1]

    yield begin
    for gateway in running:
        gateway.stop()
