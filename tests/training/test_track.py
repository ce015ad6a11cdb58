"""``tokenjoule.track``: what a job reports, and that it never gets in the way of the job."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from uuid import UUID

import pytest
import torch

import tokenjoule
from tests.training.listener import Heard, listening
from training.cputime import CpuShares


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as found:
        yield found


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(1000))


def test_counts_loss_and_flags_are_reported_with_the_cpu_time_of_the_process(heard: Heard) -> None:
    with tokenjoule.track("train", endpoint=heard.url, precision="bf16", gradient_checkpointing=True) as job:
        burn(0.2)
        for step in range(5):
            job.step(samples=4, tokens=100, loss=torch.tensor(2.0 / (step + 1)))
    last = heard.last(job.job_id)
    assert last["process.cpu.time"] >= 0.2 - 2 / os.sysconf("SC_CLK_TCK")
    assert last["tokenjoule.job.duration"] > 0
    del last["process.cpu.time"], last["tokenjoule.job.duration"]
    assert last == {
        "tokenjoule.job.steps": 5, "tokenjoule.job.samples": 20, "tokenjoule.job.tokens": 500,
        "tokenjoule.job.loss": pytest.approx(0.4), "tokenjoule.job.ended": 1,
    }  # fmt: skip
    said = heard.resource(job.job_id)
    assert (said["process.pid"], said["host.name"]) == (os.getpid(), socket.gethostname())
    assert (said["tokenjoule.job.precision"], said["tokenjoule.job.gradient_checkpointing"]) == ("bf16", True)
    (span,) = heard.spans
    assert (span.name, span.status.code) == ("job train", 1)


def test_counters_begin_with_the_job(heard: Heard) -> None:
    before = time.time_ns()
    with tokenjoule.track("train", endpoint=heard.url) as job:
        job.step()
    metric = heard.metrics[-1].resource_metrics[0].scope_metrics[0].metrics[0]
    (point,) = metric.sum.data_points
    assert before <= point.start_time_unix_nano <= point.time_unix_nano
    assert point.start_time_unix_nano == job.started_ns
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, 2)


def test_reports_go_out_while_the_job_runs(heard: Heard) -> None:
    with tokenjoule.track("train", endpoint=heard.url) as job:
        job.step(samples=3)
        deadline = time.monotonic() + 60
        while heard.last(job.job_id).get("tokenjoule.job.samples") != 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "tokenjoule.job.ended" not in heard.last(job.job_id)


def test_an_exception_passes_unchanged_and_marks_the_job_failed(heard: Heard) -> None:
    error = ZeroDivisionError("mine")
    job = tokenjoule.track("train", endpoint=heard.url)

    def failing() -> None:
        with job:
            job.step(samples=2)
            raise error

    with pytest.raises(ZeroDivisionError) as caught:
        failing()
    assert caught.value is error
    assert heard.ending(job.job_id) == {"tokenjoule.job.status": "failed", "error.type": "ZeroDivisionError"}
    assert heard.last(job.job_id)["tokenjoule.job.samples"] == 2
    assert heard.spans[0].status.code == 2


def test_an_interrupt_and_a_clean_exit_are_told_apart(heard: Heard) -> None:
    interrupted, left = (tokenjoule.track("train", endpoint=heard.url) for _ in range(2))
    with pytest.raises(KeyboardInterrupt), interrupted:
        raise KeyboardInterrupt
    with pytest.raises(SystemExit), left:
        sys.exit(0)
    assert heard.ending(interrupted.job_id)["tokenjoule.job.status"] == "interrupted"
    assert heard.ending(left.job_id) == {"tokenjoule.job.status": "ok"}


def test_without_a_collector_it_says_one_line_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with caplog.at_level(logging.INFO), tokenjoule.track("train") as job:
        job.step(samples=1, loss=torch.tensor([1.0, 2.0]))
    assert len(caplog.records) == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in caplog.text
    assert "TOKENJOULE_JOB" not in os.environ


def test_a_collector_that_is_not_there_is_told_twice_and_the_job_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Once when it does not answer, once that the end was not reported; nothing of the exporter's own retries."""
    with tokenjoule.track("train", endpoint="http://127.0.0.1:9") as job:
        job.step(samples=1)
        deadline = time.monotonic() + 60
        while not caplog.records:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert [record.name for record in caplog.records] == ["training.track"] * 2
    assert job.status == "ok"


def test_what_cannot_be_read_is_logged_once_and_the_loop_goes_on(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    with tokenjoule.track("train", endpoint=heard.url) as job:
        for _ in range(3):
            job.step(samples="four", loss="not a number")  # type: ignore[arg-type]
        job.step(samples=4)
    assert heard.last(job.job_id)["tokenjoule.job.samples"] == 4
    assert caplog.text.count("could not report a step") == 1


def test_a_resumed_job_keeps_its_id_and_gets_a_new_leg(heard: Heard) -> None:
    with tokenjoule.track("train", endpoint=heard.url) as first:
        first.step(samples=1)
    with tokenjoule.track("train", endpoint=heard.url, job_id=first.job_id) as second:
        second.step(samples=1)
    assert second.job_id == first.job_id
    assert second.leg != first.leg
    assert heard.resource(first.job_id)["service.instance.id"] == second.leg


def test_a_function_is_a_job_per_call(heard: Heard) -> None:
    @tokenjoule.track("embed", endpoint=heard.url)
    def embed(text: str) -> str:
        tokenjoule.current_job().step(samples=len(text))
        return text.upper()

    @tokenjoule.track("later", endpoint=heard.url)
    async def later() -> str:
        tokenjoule.current_job().step(samples=9)
        return "done"

    assert (embed("ab"), embed("abc"), asyncio.run(later())) == ("AB", "ABC", "done")
    assert [span.name for span in heard.spans] == ["job embed", "job embed", "job later"]
    counts = [int(attribute.value.int_value) for span in heard.spans for attribute in span.attributes
              if attribute.key == "tokenjoule.job.samples"]  # fmt: skip
    assert counts == [2, 3, 9]


def test_outside_of_a_job_steps_go_nowhere() -> None:
    tokenjoule.current_job().step(samples=1)


def test_nested_jobs_split_the_cpu_time_of_the_process(heard: Heard) -> None:
    """The inner one pays for what it did, the outer one for the rest: nothing twice."""
    with tokenjoule.track("outer", endpoint=heard.url) as outer:
        burn(0.1)
        with tokenjoule.track("inner", endpoint=heard.url) as inner:
            burn(0.3)
    assert heard.resource(inner.job_id)["tokenjoule.job.parent"] == outer.job_id
    ticks_s = 4 / os.sysconf("SC_CLK_TCK")  # the kernel counts a process's time in hundredths, at every edge
    assert inner.cpu_s >= 0.3 - ticks_s
    assert outer.cpu_s >= 0.1 - ticks_s
    child, around = heard.spans
    assert (child.parent_span_id, child.trace_id) == (around.span_id, around.trace_id)


class Claim:
    def __init__(self, parent: "Claim | None" = None) -> None:
        self.parent, self.cpu_s = parent, 0.0


def test_concurrent_jobs_share_equally_and_nothing_is_lost() -> None:
    clock = iter([10.0, 12.0, 16.0, 17.0, 18.0, 18.0])
    shares = CpuShares(lambda: next(clock))
    one, two = Claim(), Claim()
    inner = Claim(parent=one)
    shares.enter(one)  # 10
    shares.enter(two)  # 12: two seconds of `one` alone
    shares.enter(inner)  # 16: two seconds each
    shares.leave(inner)  # 17: half for `inner`, half for `two`
    shares.leave(two)  # 18: half each
    shares.leave(one)  # 18
    assert (one.cpu_s, two.cpu_s, inner.cpu_s) == (4.5, 3.0, 0.5)
    assert one.cpu_s + two.cpu_s + inner.cpu_s == 8.0


def test_a_forked_child_reports_nothing_of_its_parents_job(heard: Heard) -> None:
    """As in the workers of a data loader."""
    with tokenjoule.track("train", endpoint=heard.url) as job:
        child = os.fork()
        if child == 0:
            job.step(samples=1000)
            os._exit(0)
        os.waitpid(child, 0)
        job.step(samples=1)
    assert heard.last(job.job_id)["tokenjoule.job.samples"] == 1


def test_a_job_in_a_child_process_names_the_one_around_it(heard: Heard) -> None:
    script = "import tokenjoule\nwith tokenjoule.track('part') as job: job.step()\nprint(job.job_id)"
    with tokenjoule.track("whole", endpoint=heard.url) as job:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": heard.url}
        child = subprocess.run(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    said = heard.resource(child.stdout.strip())
    assert (said["tokenjoule.job.parent"], said["tokenjoule.job.within"]) == (job.job_id, job.leg)
    assert job.cpu_s > 0.05, "what the child used is in the time of the process tree"


def one_step(layer: torch.nn.Linear) -> None:
    layer(torch.ones(8, 16)).sum().backward()  # type: ignore[no-untyped-call]


def test_one_step_is_counted_by_torch_and_multiplied(heard: Heard) -> None:
    layer = torch.nn.Linear(16, 32)
    with tokenjoule.track("train", endpoint=heard.url) as job:
        for _ in range(5):
            one_step(layer)
            job.step(tokens=8)
    forward = 2 * 8 * 16 * 32
    backward = forward  # of the weights; the input needs no gradient
    assert heard.last(job.job_id)["tokenjoule.job.flops"] == 5 * (forward + backward)
    assert job.flops == (5 * (forward + backward), "counted")


def test_stated_operations_replace_counting(heard: Heard) -> None:
    with tokenjoule.track("train", endpoint=heard.url) as job:
        job.step()
        one_step(torch.nn.Linear(16, 32))
        job.step(flops=10.0)
        job.step(flops=10.0)
    assert job.flops == (20.0, "stated")
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_a_dispatch_mode_of_the_job_is_never_taken_off(heard: Heard) -> None:
    """A step told inside a mode that began after ours: counting goes on until ours is the innermost again."""
    from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

    class Mine(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return func(*args, **(kwargs or {}))

    layer = torch.nn.Linear(16, 32)
    with tokenjoule.track("train", endpoint=heard.url) as job:
        job.step(tokens=8)  # counting begins
        with Mine() as mine:
            one_step(layer)
            job.step(tokens=8)
            assert _get_current_dispatch_mode() is mine
        one_step(layer)
        job.step(tokens=8)
    assert _get_current_dispatch_mode() is None
    assert job.flops == (3 * 2 * 2 * 8 * 16 * 32, "counted")


def test_gpus_are_those_on_which_torch_holds_memory(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for CUDA; their names are NVML's, so that the ledger finds the device."""
    held = {0: 0, 1: 4096}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_reserved", held.__getitem__)
    named = SimpleNamespace(uuid=UUID("dc8a0a41-30f3-4f3c-9b4b-0a1b2c3d4e5f"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: named)
    with tokenjoule.track("train", endpoint=heard.url) as job:
        job.step()
    (device,) = heard.resource(job.job_id)["tokenjoule.job.devices"].values
    assert device.string_value == "GPU-dc8a0a41-30f3-4f3c-9b4b-0a1b2c3d4e5f"


def test_cuda_is_not_woken_up(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that forks after CUDA has begun fails: asking for devices must not begin it."""
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: asked.append("count") or 1)
    monkeypatch.setattr(torch.cuda, "init", lambda: asked.append("init"))
    with tokenjoule.track("train", endpoint=heard.url) as job:
        job.step()
    assert not asked
    assert "tokenjoule.job.devices" not in heard.resource(job.job_id)
