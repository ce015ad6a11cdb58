"""Builds the emulator with the C compiler, and plays a script to this process or to children.

Children find it by ``LD_LIBRARY_PATH``; this process by its soname: once it is loaded, ``nvidia-ml-py`` asking for
``libnvidia-ml.so.1`` gets it, also where a real driver is installed. Nothing else of NVIDIA's is replaced.
"""

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.nvml.curve import Board, script

SOURCE = Path(__file__).with_name("emulator.c")
SONAME = "libnvidia-ml.so.1"
SCRIPT, EPOCH, CLOCK = "NVML_EMULATOR_SCRIPT", "NVML_EMULATOR_EPOCH", "NVML_EMULATOR_CLOCK"
COMPILERS = ("cc", "gcc", "clang")


def build(folder: Path) -> Path:
    """Compile the library into ``folder``. Raises ``RuntimeError`` where there is no C compiler."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise RuntimeError("the NVML emulator needs a C compiler: run deploy/system-packages.sh, or install gcc")
    library = folder / SONAME
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{SONAME}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE), "-lm"], check=True)
    return library


def load(library: Path) -> None:
    """Make ``library`` the NVML of this process; call before ``pynvml`` has found another."""
    ctypes.CDLL(str(library))


@dataclass(frozen=True, slots=True)
class Played:
    """A script on the machine's monotonic clock, the same for every process; second 0 of it is ``epoch_s``."""

    environment: dict[str, str]
    epoch_s: float

    def now_s(self) -> float:
        """The script's time."""
        return time.monotonic() - self.epoch_s


def play(
    folder: Path, boards: Sequence[Board], reloads_s: Sequence[tuple[float, float]] = (), starts_in_s: float = 0.0
) -> Played:
    """Write the script into ``folder``; children that are started with the environment see these boards."""
    path = folder / "boards.txt"
    path.write_text(script(boards, reloads_s), encoding="utf-8")
    epoch_s = time.monotonic() + starts_in_s
    smi = folder / "nvidia-smi"  # CodeCarbon looks for it before it asks NVML
    smi.write_text("#!/bin/sh\n", encoding="utf-8")
    smi.chmod(0o755)
    found = {name: _first(folder, name) for name in ("LD_LIBRARY_PATH", "PATH")}
    return Played({SCRIPT: str(path), EPOCH: repr(epoch_s), **found}, epoch_s)


def _first(folder: Path, variable: str) -> str:
    return os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


class Clock:
    """A clock that stands still until it is told the time, through a file that the emulator maps."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), struct.calcsize("d"))
        self.environment = {CLOCK: str(path)}

    def set(self, t_s: float) -> None:
        """It is ``t_s`` now."""
        self._map[:] = struct.pack("d", t_s)
