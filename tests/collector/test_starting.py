"""What keeps a collector from starting is one line and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector.running_collector import ROOT, Start


def refusal(directory: Path, text: str) -> str:
    config = directory / "refused.toml"
    config.write_text(text)
    command = [sys.executable, "-m", "collector", "--config", str(config)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    return ended.stderr


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ('prot = 4318\ndata = "{directory}/x"', "did you mean 'port'"),
        ('host = "0.0.0.0"\nport = 0\ndata = "{directory}/x"', "set [collector.tokens]"),
        ('port = 0\ndata = "{directory}/x"\n[collector.sampler]\nprobes = ["nvlm"]', "did you mean 'nvml'"),
    ],
)
def test_wrong_settings_name_the_remedy(tmp_path: Path, settings: str, remedy: str) -> None:
    error = refusal(tmp_path, "[collector]\n" + settings.format(directory=tmp_path))
    assert remedy in error
    assert "Traceback" not in error


def test_a_store_in_use_and_a_port_in_use_are_said(start: Start, tmp_path: Path) -> None:
    running = start()
    owned = refusal(tmp_path, f'[collector]\nport = 0\ndata = "{tmp_path / "data"}"')
    assert "owned by another process" in owned
    port = running.url.rpartition(":")[2]
    taken = refusal(tmp_path, f'[collector]\nport = {port}\ndata = "{tmp_path / "other"}"')
    assert f"cannot listen on 127.0.0.1:{port}" in taken
