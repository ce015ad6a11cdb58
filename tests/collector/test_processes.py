"""CPU time of an engine is that of whoever listens on its port, with all children, and never falls."""

import subprocess
import sys
import time

import pytest

from collector.sampling import processtree
from collector.sampling.engineprocess import EngineProcess
from collector.sampling.hostcpu import HostCpu
from conventions.instruments import HOST_CPU_TIME, PROCESS_CPU_TIME

SERVER = """
import socket, subprocess, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
burn = "import time\\nend = time.process_time() + 0.4\\nwhile time.process_time() < end: pass\\n"
burn += "print('done', flush=True)"
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c", burn + "\\nimport sys; sys.stdin.readline()"], stdin=sys.stdin)
child.wait()
print("child ended", flush=True)
sys.stdin.readline()
"""


def start(port: int = 0) -> tuple["subprocess.Popen[str]", int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def say(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


@pytest.fixture(autouse=True)
def look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processtree, "SEARCH_INTERVAL_S", 0.0)
    monkeypatch.setattr(processtree, "TREE_INTERVAL_S", 0.0)


def test_children_are_counted_and_stay_counted_after_they_end() -> None:
    process, port = start()
    try:
        watched = EngineProcess("scout", port)
        before = watched.read()[0]
        assert (before.instrument, before.engine) == (PROCESS_CPU_TIME, "scout")
        say(process)
        assert hear(process) == "done"
        during = watched.read()[0]
        assert during.value - before.value >= 0.35
        say(process)
        assert hear(process) == "child ended"
        after = watched.read()[0]
        assert after.value >= during.value
        assert after.start_ns == before.start_ns
    finally:
        end(process)


def test_a_restarted_engine_counts_anew_and_nothing_is_said_between() -> None:
    process, port = start()
    watched = EngineProcess("scout", port)
    first = watched.read()[0]
    end(process)
    assert watched.read() == [], "0 J would be a claim about what it used before its end"
    process, _ = start(port)
    try:
        again = watched.read()[0]
        assert again.start_ns > first.time_ns, "a reader must see that the counter began anew"
        assert 0.0 < again.value <= (again.time_ns - again.start_ns) / 1e9, "what it used before it was found is in it"
        say(process)
        assert hear(process) == "done"
        assert watched.read()[0].start_ns == again.start_ns
    finally:
        end(process)


def test_a_port_without_a_listener_gives_nothing() -> None:
    assert EngineProcess("scout", 1).read() == []


def test_the_host_counts_busy_cpu_seconds_from_its_start() -> None:
    host = HostCpu()
    finish = time.process_time() + 0.2
    while time.process_time() < finish:
        pass
    sample = host.read()[0]
    assert sample.instrument is HOST_CPU_TIME
    assert sample.value >= 0.1
