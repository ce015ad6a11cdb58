"""A stack of processes on this machine: started in order, each waited for, stopped in reverse by signal.

Every process of ours prints ``ready <name> <url>`` when it serves; anything else on its output goes to its log file.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from conventions import settings
from conventions.errors import TokenjouleError
from conventions.processes import await_end

START_TIMEOUT_S = 300.0  # importing torch or vLLM on a cold, busy machine takes minutes at worst
STOP_TIMEOUT_S = 30.0
LOG_TAIL_LINES = 15
_RANK = {"collector": 0, "engine": 1}


class ProcessFailed(TokenjouleError):
    """A process of the stack that did not start or that died."""


@dataclass(frozen=True, slots=True)
class Spec:
    """How to start one process: ``command`` after the Python interpreter, and the name of its ready line."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Running:
    """One started process, its log file and the address from its ready line."""

    spec: Spec
    process: "subprocess.Popen[str]"
    log: Path
    url: str = ""
    ready: threading.Event = field(default_factory=threading.Event)


class Stack:
    """The processes of one stack. Use as a context manager; leaving it stops them all."""

    def __init__(self, log_directory: Path) -> None:
        self._directory = log_directory
        self._running: list[Running] = []
        log_directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Stack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("stopping what was started\n")  # it takes seconds: silence reads as a hang
        self.stop()

    def start(self, specs: Sequence[Spec]) -> dict[str, str]:
        """Start all at once, wait until each is ready, return name → URL.

        Raises ``ProcessFailed`` with the end of the log of the one that did not come up.
        """
        started = [self._spawn(spec) for spec in specs]
        deadline = time.monotonic() + START_TIMEOUT_S
        for running in started:
            self._await_ready(running, deadline)
        return {running.spec.name: running.url for running in started}

    def start_in_order(self, specs: Sequence[Spec]) -> dict[str, str]:
        """The collector, so that no telemetry meets a closed door; then the engines; then who asks for their health."""
        urls: dict[str, str] = {}
        for _, group in itertools.groupby(specs, key=_rank):
            urls.update(self.start(list(group)))
        return urls

    def pid(self, name: str) -> int:
        """Process id of the running process ``name``."""
        return next(running.process.pid for running in self._running if running.spec.name == name)

    def dead(self) -> list[Running]:
        """Those that have ended by themselves."""
        return [running for running in self._running if running.process.poll() is not None]

    def stop(self) -> None:
        """SIGTERM to those that were started together, the last first, each waited for; SIGKILL for one that stays.

        Engines take four seconds each to flush and to let torch go, so they do it at the same time.
        """
        started, self._running = self._running, []
        for _, together in itertools.groupby(reversed(started), key=lambda running: _rank(running.spec)):
            ending = [running.process for running in together]
            for process in ending:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            for process in ending:
                await_end(process, STOP_TIMEOUT_S)

    def _spawn(self, spec: Spec) -> Running:
        log = self._directory / f"{spec.name.replace(':', '-')}.log"
        handle = log.open("w", encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, *spec.command],
            stdout=subprocess.PIPE,
            stderr=handle,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **spec.environment},
            start_new_session=True,  # Ctrl-C goes to us alone; we stop them in order
        )
        running = Running(spec, process, log)
        self._running.append(running)
        threading.Thread(target=_watch_output, args=(running, handle), daemon=True).start()
        return running

    def _await_ready(self, running: Running, deadline: float) -> None:
        while not running.ready.wait(0.05):
            if running.process.poll() is not None:
                raise ProcessFailed(_failure(running, f"ended with code {running.process.returncode}"))
            if time.monotonic() > deadline:
                raise ProcessFailed(_failure(running, f"was not ready within {START_TIMEOUT_S:.0f} s"))


def specs(config: Path, *, dashboard: bool = True, only: frozenset[str] | None = None) -> list[Spec]:
    """Collector, engines, gateway and dashboard as the configuration names them, in order of start.

    ``only`` keeps the named kinds (``collector``, ``engine``, ``gateway``, ``dashboard``).
    """
    values = settings.read(config)
    found: list[tuple[str, Spec]] = []
    if "collector" in values:
        found.append(("collector", Spec("collector", ("-m", "collector", "--config", str(config)))))
    serving = values.get("serving", {})
    for name in serving.get("engines", {}):
        command = ("-m", "serving.engine", "--config", str(config), "--name", name)
        found.append(("engine", Spec(f"engine:{name}", command)))
    for name in serving.get("vllm", {}):
        command = ("-m", "serving.backends.vllm", "--config", str(config), "--name", name)
        found.append(("engine", Spec(f"engine:{name}", command)))
    if "gateway" in serving:
        found.append(("gateway", Spec("gateway", ("-m", "serving.gateway", "--config", str(config)))))
    if dashboard and "dashboard" in values:
        found.append(("dashboard", _dashboard(values, config)))
    return [spec for kind, spec in found if only is None or kind in only]


def _dashboard(values: Mapping[str, Any], config: Path) -> Spec:
    collector = values.get("collector", {})
    store = f"http://{collector.get('host', '127.0.0.1')}:{collector.get('port', 4318)}"
    environment = {"TOKENJOULE_STORE": store, "TOKENJOULE_CONFIG": str(config)}
    port = str(values["dashboard"].get("port", 8501))
    return Spec("dashboard", ("-m", "dashboard", "--port", port), environment)


def _watch_output(running: Running, handle: Any) -> None:
    assert running.process.stdout is not None
    with running.process.stdout as lines, handle:
        for line in lines:
            words = line.split()
            if len(words) == 3 and words[0] == "ready" and words[1] == running.spec.name:
                running.url = words[2]
                running.ready.set()
            handle.write(line)
            handle.flush()


def _rank(spec: Spec) -> int:
    return _RANK.get(spec.name.partition(":")[0], len(_RANK))


def _failure(running: Running, what: str) -> str:
    tail = running.log.read_text(encoding="utf-8").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join([f"{running.spec.name} {what}; the end of {running.log}:", *tail])
