"""``python -m dashboard --port N``: the Streamlit app, quiet and on loopback; prints the ready line when it serves.

Streamlit itself is what runs; this only fixes its flags and tells the stack when it answers.
"""

import argparse
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from conventions.errors import UpstreamError

APP = Path(__file__).with_name("app.py")
START_TIMEOUT_S = 60.0


def main() -> None:
    """Start Streamlit, wait for its health page, stay until it ends; SIGTERM ends both."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    arguments = parser.parse_args()
    process = subprocess.Popen(command(arguments.host, arguments.port), stdin=subprocess.DEVNULL, stdout=2)
    _forward_signals(process)
    try:
        _await_health(process, f"http://{arguments.host}:{arguments.port}")
        print(f"ready dashboard http://{arguments.host}:{arguments.port}", flush=True)  # noqa: T201  the ready line
        process.wait()
    finally:
        process.terminate()
        process.wait()


def command(host: str, port: int) -> list[str]:
    """Streamlit's command line: headless, no usage statistics, no file watcher, our theme wherever it is started."""
    flags = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "theme.base": str(APP.with_name("theme.toml")),
    }
    return [sys.executable, "-m", "streamlit", "run", str(APP), *(f"--{key}={value}" for key, value in flags.items())]


def _forward_signals(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.terminate())


def _await_health(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UpstreamError(f"Streamlit ended with code {process.returncode}; its own log is above")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1.0):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UpstreamError(f"the dashboard did not answer at {url} within {START_TIMEOUT_S:g} s")


if __name__ == "__main__":
    main()
