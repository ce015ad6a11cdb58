"""``kill -9`` in the middle of what the collector does in the background, while spans come in over gRPC.

Nothing acknowledged is lost, no request counts twice, and what was under way is done after the restart.
"""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import pytest

from collector.receiving.grpc_receiver import SERVICES
from collector.settling.touched import SLICE_ROWS
from tests.collector.hostile.inside import PATIENCE_S, Inside
from tests.collector.payloads import counter, span, traces
from tests.collector.running_collector import RunningCollector, Start

CALL = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.output_tokens": 8}
DAY_S = 86_400
AGO_S = 3 * DAY_S
CLIENTS, SPANS_PER_EXPORT = 2, 10
SETTINGS = """
[collector.upkeep]
interval_s = 0.3
hot_days = 1
[collector.settle]
interval_s = 0.3
watermark_s = 0.0
[collector.grpc]
port = 0
"""


@dataclass
class Clients:
    """Senders over gRPC whose clocks are wrong by ``wrong_s``; the numbers of what was acknowledged."""

    target: str
    wrong_s: int
    acknowledged: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def send(self, first: int, spans: int = SPANS_PER_EXPORT) -> None:
        """One export; spans that are refused by partial success are not counted. Raises ``grpc.RpcError``."""
        start_ns = time.time_ns() + (self.wrong_s - 2) * 1_000_000_000
        numbers = range(first, first + spans)
        body = traces([span(one, start_ns=start_ns, attributes=CALL) for one in numbers]).SerializeToString()
        with grpc.insecure_channel(self.target) as channel:
            answer = channel.unary_unary(f"/{SERVICES['traces']}/Export")(body, timeout=PATIENCE_S)
        if not answer:
            self.acknowledged += numbers

    def run(self, first: int) -> None:
        """Send until told to end."""
        while not self.ended.wait(0.02):
            with suppress(grpc.RpcError):
                self.send(first)
            first += SPANS_PER_EXPORT

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Several at once, for the length of a ``with``."""
        threads = [threading.Thread(target=self.run, args=(one * 10**9,)) for one in range(1, CLIENTS + 1)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in threads:
                thread.join()


def clients(collector: RunningCollector, wrong_s: int) -> Clients:
    found = re.search(r"OTLP/gRPC on (\S+)", collector.log.read_text())
    assert found
    return Clients(found[1], wrong_s)


def energy(collector: RunningCollector) -> None:
    """A reading of a meter, so that there are joules to split."""
    joules = time.monotonic()
    assert collector.post("/v1/metrics", counter("hw.energy", joules, {"hw.id": "g"})).status_code == 200


def check(collector: RunningCollector, acknowledged: list[int]) -> None:
    """What was acknowledged is there, and each of it is one request."""
    assert collector.settle() == 200
    stored = {int(trace_id, 16) for (trace_id,) in collector.query("SELECT DISTINCT trace_id FROM spans")}
    lost = sorted(set(acknowledged) - stored)
    assert not lost, f"{len(lost)} of {len(acknowledged)} spans, {lost[:3]} to {lost[-3:]}"
    [[requests, distinct]] = collector.query("SELECT count(*), count(DISTINCT trace_id) FROM requests")
    assert requests == distinct == len(stored)


def until_sealed(collector: RunningCollector, tmp_path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not list((tmp_path / "data" / "archive").glob("day=*/requests*.parquet")):
        assert time.monotonic() < deadline, collector.log.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("place", "moment"),
    [
        ("store.compaction:_rewrite", "before"),
        ("store.generations:put_in_place", "after"),
        ("store.sealing:_written", "after"),
        ("store.sealing:drop", "after"),
    ],
)
def test_while_an_old_day_is_put_in_order_and_sealed(start: Start, tmp_path: Path, place: str, moment: str) -> None:
    inside = Inside(tmp_path / "inside")
    inside.set_clock(-AGO_S)
    collector = start(SETTINGS, environment=inside.environment)
    senders = clients(collector, -AGO_S)
    for first in (1, 101):  # settled twice, so that there are rows to compact
        senders.send(first)
        assert collector.settle() == 200
    with senders.sending():
        inside.kill_at(place, moment)
        senders.wrong_s = 0
        inside.set_clock(0)
        assert collector.ended(PATIENCE_S) == -signal.SIGKILL
    again = start(SETTINGS)
    until_sealed(again, tmp_path)
    check(again, senders.acknowledged)


@pytest.mark.parametrize(
    ("place", "moment"),
    [
        ("store.settled:Settled.replace", "before"),
        ("store.settled:Settled.replace", "after"),
        ("store.writing:Store.note_settled", "before"),
    ],
)
def test_while_requests_are_settled(start: Start, tmp_path: Path, place: str, moment: str) -> None:
    inside = Inside(tmp_path / "inside")
    collector = start(SETTINGS, environment=inside.environment)
    senders = clients(collector, 0)
    with senders.sending():
        deadline = time.monotonic() + PATIENCE_S
        while not collector.query("SELECT count(*) > 50 FROM requests")[0][0]:
            energy(collector)
            assert time.monotonic() < deadline
        inside.kill_at(place, moment)
        assert collector.ended(PATIENCE_S) == -signal.SIGKILL
    check(start(SETTINGS), senders.acknowledged)


@pytest.mark.parametrize("place", ["stage", "carry"])
def test_while_a_pass_is_staged(start: Start, tmp_path: Path, place: str) -> None:
    inside = Inside(tmp_path / "inside")
    collector = start(SETTINGS, environment=inside.environment)
    senders = clients(collector, 0)
    inside.kill_at(f"store.settled:Settled.{place}", "after")
    with senders.sending():
        while collector.process.poll() is None:
            with suppress(grpc.RpcError):
                senders.send(10**12 + len(senders.acknowledged), SLICE_ROWS + 1)
    assert collector.ended(PATIENCE_S) == -signal.SIGKILL
    check(start(SETTINGS), senders.acknowledged)


@pytest.mark.parametrize(
    ("place", "moment"),
    [("store.backup:_copy_each", "after"), ("store.backup:_finish", "before"), ("store.backup:_finish", "after")],
)
def test_while_a_backup_is_made(start: Start, tmp_path: Path, place: str, moment: str) -> None:
    inside, extra = Inside(tmp_path / "inside"), f'backups = "{tmp_path}"\n{SETTINGS}'
    collector = start(extra, environment=inside.environment)
    senders = clients(collector, 0)
    with senders.sending():
        inside.kill_at(place, moment)
        with pytest.raises(httpx.TransportError):
            collector.http.post("/v1/backup", json={"to": "monday"})
        assert collector.ended(PATIENCE_S) == -signal.SIGKILL
    again = start(extra)
    check(again, senders.acknowledged)
    whole = "monday" if (tmp_path / "monday").exists() else "tuesday"
    assert again.http.post("/v1/backup", json={"to": "tuesday"}).status_code == 200
    again.stop()
    (tmp_path / "data").rename(tmp_path / "lost")
    (tmp_path / whole).rename(tmp_path / "data")
    restored = start(extra)
    assert restored.settle() == 200
    assert restored.query("SELECT count(*) = count(DISTINCT trace_id) FROM requests") == [[True]]
    if whole == "tuesday":
        check(restored, senders.acknowledged)
