"""``tokenjoule doctor --gpu-check FILE``: five minutes with the meters of this machine's NVIDIA boards."""

import contextlib
import importlib.util
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

IDLE_SHARE = 0.4  # of the time, before the load begins
WORK = """
import torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
while True:
    for _ in range(100):
        b = a @ a
    torch.cuda.synchronize()
"""


def check(path: Path, seconds: float, load: str | None) -> None:
    """Measure, print, and write the counters to ``path`` as a recording for the ``replay`` probe.

    ``load`` is the command that runs after the idle part; without it, matrix products where PyTorch has CUDA. Exit code
    1 where there is no board with a counter.
    """
    import pynvml

    from collector.nvidia import check as checking
    from collector.nvidia.board import open_boards

    console = Console()
    try:
        pynvml.nvmlInit()
        boards = [board for board in open_boards(0.0) if board.energy.source == "nvml.counter"]
    except pynvml.NVMLError as error:
        console.print(f"no NVIDIA driver here ({error}): run this where the GPU is")
        raise typer.Exit(1) from None
    if not boards:
        console.print("no NVIDIA board with an energy counter (Volta or newer)")
        raise typer.Exit(1)
    close = [checking.look_closely(board) for board in boards]
    rounds = list(checking.record(boards, seconds * IDLE_SHARE))
    with _loaded(load) as what:
        console.print(f"load: {what}")
        rounds += checking.record(boards, seconds * (1 - IDLE_SHARE))
    checking.write_recording(path, boards, rounds)
    for number, board in enumerate(boards):
        figures = close[number] | checking.compare([readings[number] for readings in rounds])
        table = Table("figure", "value", title=board.device.id, title_justify="left")
        for name, value in figures.items():
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value or "–"))
        console.print(table)
    console.print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, to be played by the probe 'replay'")


@contextlib.contextmanager
def _loaded(command: str | None) -> Iterator[str]:
    """The load runs inside; what it is."""
    if command is None and not _has_cuda():
        yield "none of ours (no --gpu-load, and PyTorch has no CUDA here): what follows is what ran anyway"
        return
    words = shlex.split(command) if command else [sys.executable, "-c", WORK]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.0 if command is None else 0.0)  # CUDA's start is not the load
        yield command or "matrix products with PyTorch"
    finally:
        process.terminate()
        process.wait()


def _has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
