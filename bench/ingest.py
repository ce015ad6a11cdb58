"""How fast are spans made durable? ``python -m bench.ingest [--quick] [--json PATH]``.

A real collector in a process of its own, four connections, OTLP/HTTP protobuf. A POST is answered when it is on disk in
the spool (``acked``); ``durable`` counts until every row is committed to the store, which is the rate that lasts. The
floor, measured in the same run: the same rows as ready Arrow batches into a fresh store, as many rows per commit as the
collector's were, no HTTP and no decoding. Latency is that under half of the durable load, from the moment each POST
was due. CPU seconds are those of the collector's process alone, settling included; they hold on a busy machine where
rates do not. ``mixed`` are eight emitters that build fourteen kinds of spans, where the other figures are of a gateway
and stock vLLM. ``decode_us_per_span`` is rows alone, of 20 requests at once, in the benchmark's own process.
Phoenix and MLflow run beside it from the virtual environment that ``TOKENJOULE_BENCH_PEERS`` names.
"""

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import peers
from bench.result import options, publish
from bench.spans import Requests, post_all, stamped
from collector.decoding import signals
from collector.decoding.bodies import decoded_together
from collector.decoding.columns import Rows
from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from store.reading import open as open_reader
from store.writing import Store
from tokenjoule.configuration import free_port

SPANS_PER_POST, SPANS_PER_SMALL_POST = 512, 10
WARM_POSTS = 8
DECODED_AT_ONCE, DECODINGS = 20, 10
STORED_WITHIN_S = 120.0
ENDS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one full-speed run gave."""

    acked_per_s: float
    spans_per_s: float  # committed
    cpu_us_per_span: float
    rows_per_commit: float


def main() -> None:
    """Durable rate, floor and their ratio; acknowledgement latency; the peers' rates."""
    chosen = options(__doc__)
    posts = 100 if chosen.quick else 800
    big, small, mixed = Requests(SPANS_PER_POST), Requests(SPANS_PER_SMALL_POST), Requests(SPANS_PER_POST, mixed=True)
    with tempfile.TemporaryDirectory() as folder:
        with collector(Path(folder) / "collector") as (port, process):
            full = _full_load(port, process, big, posts)
            latencies = _half_load(port, full, posts)
            many = _full_load(port, process, small, posts * 4)
            several = _full_load(port, process, mixed, posts)
            peak_mb = _peak_mb(process)
        floor, floor_cpu = floor_rate(big, full, posts, Path(folder) / "floor")
    rivals = peers.rates(big)
    figures: dict[str, float | str | None] = {
        "acked_spans_per_s": full.acked_per_s,
        "durable_spans_per_s": full.spans_per_s,
        "floor_spans_per_s": floor,
        "floor_ratio": full.spans_per_s / floor,
        "collector_cpu_us_per_span": full.cpu_us_per_span,
        "floor_cpu_us_per_span": floor_cpu,
        "rows_per_commit": full.rows_per_commit,
        "ack_p50_ms": float(np.quantile(latencies, 0.5)) * 1000,
        "ack_p99_ms": float(np.quantile(latencies, 0.99)) * 1000,
        "small_posts_acked_spans_per_s": many.acked_per_s,
        "small_posts_spans_per_s": many.spans_per_s,
        "small_posts_cpu_us_per_span": many.cpu_us_per_span,
        "mixed_spans_per_s": several.spans_per_s,
        "mixed_cpu_us_per_span": several.cpu_us_per_span,
        "decode_us_per_span": decode_us(big),
        "mixed_decode_us_per_span": decode_us(mixed),
        "collector_peak_mb": peak_mb,
        **{f"{name}_spans_per_s": rate for name, rate in rivals.items()},
        **{f"{name}_ratio": _over(full.spans_per_s, rate) for name, rate in rivals.items()},
    }
    note = f"{posts} POSTs of {SPANS_PER_POST} spans ({big.size:.0f} B each), 4 connections; latency at half that load"
    publish("ingest", figures, chosen, note)


def _over(rate: float, rival: float | str) -> float | str:
    return rate / rival if isinstance(rival, float) else rival


@contextmanager
def collector(data: Path, settings: str = "") -> Iterator[tuple[int, psutil.Process]]:
    """A collector over ``data``, with further ``settings`` as TOML: its port and its process."""
    port, config = free_port(), data.with_name(f"{data.name}.toml")
    config.write_text(settings, encoding="utf-8")
    flags = ["--data", str(data), "--http", f"127.0.0.1:{port}", "--config", str(config)]
    started = subprocess.Popen(
        [sys.executable, "-m", "tokenjoule", "collect", *flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        started.stdout.readline()  # the ready line
        yield port, psutil.Process(started.pid)
    finally:
        started.terminate()
        try:
            started.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        config.unlink()


def _full_load(port: int, process: psutil.Process, requests: Requests, posts: int) -> Load:
    """From the first byte sent to the last answer, and to the last commit; every answered span must be in the store."""
    post_all(port, requests.take(WARM_POSTS))
    _settle(port)  # what came before is not paid for by what comes now
    bodies = requests.take(posts)
    before, commits, cpu_s = stored(port), _commits(port), _cpu_s(process)
    began = time.perf_counter()
    post_all(port, bodies)
    acked_s, spans = time.perf_counter() - began, posts * requests.count
    while (rows := stored(port) - before) < spans and time.perf_counter() - began < acked_s + STORED_WITHIN_S:
        time.sleep(0.01)
    stored_s = time.perf_counter() - began
    assert rows == spans, f"{spans} spans acknowledged, {rows} stored"
    cpu_s, commits = _cpu_s(process) - cpu_s, _commits(port) - commits
    return Load(spans / acked_s, spans / stored_s, cpu_s / spans * 1e6, spans / commits)


def _half_load(port: int, full: Load, posts: int) -> list[float]:
    requests = Requests(SPANS_PER_POST)
    return post_all(port, requests.take(posts), rate=full.spans_per_s / 2 / requests.count)


def stored(port: int) -> int:
    """Spans in its store."""
    with open_reader(f"http://127.0.0.1:{port}") as reader:
        return int(reader.query("SELECT count(*) AS n FROM spans").to_pylist()[0]["n"])


def _settle(port: int) -> None:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/settle", method="POST")
    urllib.request.urlopen(asked, timeout=STORED_WITHIN_S).close()


def _commits(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.search(r"^tokenjoule_collector_commits_total (\S+)", answer.read().decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_mb(process: psutil.Process) -> float | None:
    """The most resident memory it ever had; ``None`` where the system does not say."""
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8")) if status.exists() else None
    return int(found[1]) / 1024 if found else None


def decode_us(requests: Requests) -> float:
    """CPU microseconds per span of making rows of ``DECODED_AT_ONCE`` requests together, the least of some."""
    signal = signals.traces(SpanDecoder(every_dialect()))
    bodies = [(stamped(body), time.time_ns()) for body in requests.take(DECODED_AT_ONCE)]
    best = float("inf")
    for _ in range(DECODINGS):
        rows, cpu_s = Rows(), time.process_time()
        decoded_together(signal, bodies, rows)
        made = rows.tables()["spans"].num_rows
        best = min(best, (time.process_time() - cpu_s) / made * 1e6)
    return best


def floor_rate(requests: Requests, load: Load, posts: int, data: Path) -> tuple[float, float]:
    """Spans per second, and CPU microseconds per span, of ready Arrow batches into a fresh store."""
    decoder = SpanDecoder(every_dialect())
    tables = [
        decoder.decode(ExportTraceServiceRequest.FromString(stamped(body)), time.time_ns()).tables["spans"]
        for body in requests.take(20)
    ]
    rows = pa.concat_tables(tables).combine_chunks()
    group = max(1, min(rows.num_rows, round(load.rows_per_commit)))
    ready = [rows.slice(start, group) for start in range(0, rows.num_rows - group + 1, group)]
    commits = max(1, posts * requests.count // group)
    with Store.open(data) as store:
        store.append_raw({"spans": ready[0]})
        began, cpu_s = time.perf_counter(), time.process_time()
        for place in range(commits):
            store.append_raw({"spans": ready[place % len(ready)]})
        elapsed, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    return commits * group / elapsed, cpu_s / (commits * group) * 1e6


if __name__ == "__main__":
    main()
