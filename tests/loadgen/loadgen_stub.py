"""Starts the stub server and asks what it has seen."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stub:
    url: str

    def seen(self) -> dict[str, list[Any]]:
        with urllib.request.urlopen(f"{self.url}/seen", timeout=5) as response:
            return json.load(response)


def started() -> Iterator[Stub]:
    command = [sys.executable, str(Path(__file__).parent / "stub_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Stub(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.terminate()
