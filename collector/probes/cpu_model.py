"""Estimated energy of the CPU: utilisation × the CPU's rated power. For machines that show no counter.

Power is ``rated · (0.1 + 0.9 · utilisation)``. The idle share of a tenth is that of CodeCarbon's ``cpu_load`` mode,
which lets power grow with the cube of utilisation; here it is linear, so that a CPU second costs the same joules
whatever the neighbours of its process do. Rated power comes from CodeCarbon's table of CPUs where it is installed and
knows the model. In a virtual machine that is the power of the whole physical package.
"""

import importlib
import importlib.util
import logging
import os
import time

from collector.sampling.hostcpu import busy_seconds
from collector.sampling.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions.instruments import HW_ENERGY, HW_IDLE_POWER, HW_POWER

IDLE_SHARE = 0.1  # codecarbon 3.3, external/hardware.py: minimum share of rated power
DEFAULT_W_PER_THREAD = 4.0  # codecarbon 3.3, core/cpu.py: DEFAULT_POWER_PER_CORE, "ratio of TDP over threads"
SHORTEST_S = 0.05  # the kernel counts CPU time in hundredths: over less than this it says nothing
PROVENANCE = Provenance("model", "cpu_package", "estimated")


class Probe:
    """The host's CPU as one device, ``cpu:0``."""

    estimates = True
    scopes = frozenset({"cpu_package"})

    def __init__(self, context: ProbeContext) -> None:
        if "cpu_package" in context.covered:
            raise ProbeUnavailable("not used: the CPU package is measured by another probe")
        self._threads = os.cpu_count() or 1
        self._rated_w, name, origin = rated_power(self._threads)
        self._device = Device("cpu:0", "cpu", name)
        self._start_ns = time.time_ns()
        self._last = (time.monotonic(), busy_seconds())
        self._joules = 0.0
        self.description = f"estimated: {name}, {self._rated_w:g} W rated ({origin}), {self._threads} threads"

    def read(self) -> list[Sample]:
        """Joules since the probe was opened, the power at no load, and the mean power (W) since the last reading."""
        now_s, busy_s, now_ns = time.monotonic(), busy_seconds(), time.time_ns()
        elapsed_s, used_s = now_s - self._last[0], busy_s - self._last[1]
        self._last = (now_s, busy_s)
        power_w = power(self._rated_w, used_s / (max(elapsed_s, SHORTEST_S) * self._threads))
        self._joules += power_w * elapsed_s
        samples = [Sample(HW_ENERGY, self._joules, now_ns, self._start_ns, self._device, PROVENANCE)]
        idle_w = power(self._rated_w, 0.0)
        samples.append(Sample(HW_IDLE_POWER, idle_w, now_ns, None, self._device, PROVENANCE))
        if elapsed_s >= SHORTEST_S:
            samples.append(Sample(HW_POWER, power_w, now_ns, None, self._device, PROVENANCE))
        return samples

    def close(self) -> None:
        """Nothing is held open."""


def power(rated_w: float, utilization: float) -> float:
    """Watts of a CPU rated ``rated_w`` at a utilisation from 0 to 1 (clipped to it)."""
    return rated_w * (IDLE_SHARE + (1.0 - IDLE_SHARE) * min(1.0, max(0.0, utilization)))


def rated_power(threads: int) -> tuple[float, str, str]:
    """Rated watts of this CPU, its name, and where the watts come from."""
    default_w = DEFAULT_W_PER_THREAD * threads
    assumed = f"{DEFAULT_W_PER_THREAD:g} W per thread"
    if importlib.util.find_spec("codecarbon") is None:
        return default_w, "CPU", f"assumed {assumed}; install tokenjoule[carbon] for a table of CPUs"
    cpu = importlib.import_module("codecarbon.core.cpu")  # an extra, and heavy: it loads pandas
    logging.getLogger("codecarbon").setLevel(logging.ERROR)  # what it warns of stands in our description
    found = cpu.TDP()
    if found.tdp is None or float(found.tdp) == default_w:
        return default_w, found.model, f"assumed {assumed}: not in CodeCarbon's table of CPUs"
    return float(found.tdp), found.model, "CodeCarbon's table of CPUs"
