"""A data folder that may not be written to, and a file system that is read-only."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.collector.hostile.scene import folder, said, small_disk
from tests.collector.running_collector import NO_PROBES, ROOT

AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override")  # root may write anywhere; without this it may not


def main() -> None:
    """Both."""
    with folder() as made:
        data = made / "data"
        data.mkdir()
        data.chmod(0o555)
        said("== a folder without the right to write", _refusal(data, AS_ANYBODY))
    with small_disk(64) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        said("== a file system mounted read-only", _refusal(disk / "data"))
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def _refusal(data: Path, how: Sequence[str] = ()) -> str:
    """What a start over ``data`` says, and its exit code."""
    with folder() as made:
        config = made / "collector.toml"
        config.write_text(f'[collector]\ndata = "{data}"\nport = 0\n{NO_PROBES}')
        command = [*how, sys.executable, "-m", "collector", "--config", str(config)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("collector: ")]
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    return f"exit code {ended.returncode}, {lines}"


if __name__ == "__main__":
    main()
