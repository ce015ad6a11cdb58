"""Energy of CPU packages from RAPL, through Linux's powercap files.

Only package zones are read, each name once: their subzones (core, uncore, dram) and ``psys`` overlap them. Some AMD
machines list a package once per die, each with the package's own counter (codecarbon 788): those count once too.

The counter is in µJ and wraps at ``max_energy_range_uj`` (262,144 J on many parts, some 12 minutes at 350 W). One that
went back further than a package can use up, and readings so far apart that a wrap may have been missed, begin a new
series. Since CVE-2020-8694 the files are readable by root only.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from collector.sampling.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions.instruments import HW_ENERGY
from conventions.units import joules_from_microjoules

POWERCAP = Path("/sys/class/powercap")
PROVENANCE = Provenance("rapl", "cpu_package", "measured")
MOST_W = 2_000.0  # four times what the hungriest packages of 2025 are rated
SHORTEST_S = 1.0  # the counter's own steps blur power over less
SAME_UJ = 1_000_000  # a package at MOST_W uses half of that between two readings half a millisecond apart
LONGEST_S = 10.0  # apart, whatever the range: no wrap is missed by then

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Package:
    """One package zone: its last raw value, when that was (monotonic), and what it used since ``start_ns`` (µJ)."""

    counter: Path
    range_uj: int
    device: Device
    last_uj: int
    last_s: float
    start_ns: int
    total_uj: int = 0
    failed: bool = False


class Probe:
    """All CPU packages of this host."""

    estimates = False
    scopes = frozenset({"cpu_package"})

    def __init__(self, context: ProbeContext, powercap: Path = POWERCAP) -> None:  # noqa: ARG002  # built alike
        named = {_name(zone): zone for zone in sorted(powercap.glob("intel-rapl:*"), reverse=True) if _is_package(zone)}
        zones = sorted(named.values())
        if not zones:
            raise ProbeUnavailable(f"no RAPL package under {powercap} (virtual machines and containers hide it)")
        opened = [_open(zone) for zone in zones]
        self._packages = [package for number, package in enumerate(opened) if not _is_listed(package, opened[:number])]
        for number, package in enumerate(self._packages):
            package.device = Device(f"cpu:{number}", "cpu", package.device.name)
        self.description = ", ".join(f"{package.device.name} as {package.device.id}" for package in self._packages)

    def read(self) -> list[Sample]:
        """Joules of every package since its series began; one that cannot be read now is left out."""
        samples = []
        for package in self._packages:
            if _advance(package):
                joules = joules_from_microjoules(package.total_uj)
                samples.append(Sample(HW_ENERGY, joules, time.time_ns(), package.start_ns, package.device, PROVENANCE))
        return samples

    def close(self) -> None:
        """Nothing is held open."""


def _is_package(zone: Path) -> bool:
    """Zones are named ``intel-rapl:N``, subzones ``intel-rapl:N:M``."""
    name_file = zone / "name"
    return zone.name.count(":") == 1 and name_file.exists() and _name(zone).startswith("package")


def _name(zone: Path) -> str:
    return (zone / "name").read_text().strip()


def _is_listed(package: _Package, others: list[_Package]) -> bool:
    """Whether another die of the same package showed the same counter: no two counters are as close by chance."""
    return any(_of(one) == _of(package) and abs(one.last_uj - package.last_uj) <= SAME_UJ for one in others)


def _of(package: _Package) -> str:
    """The package of a die: ``package-0-die-1`` is of ``package-0``."""
    return package.device.name.partition("-die-")[0]


def _open(zone: Path) -> _Package:
    counter = zone / "energy_uj"
    try:
        raw_uj = int(counter.read_text())
        range_uj = int((zone / "max_energy_range_uj").read_text())
    except PermissionError:
        raise ProbeUnavailable(
            f"{counter} is readable by root only (CVE-2020-8694): run as root, or accept it and 'chmod a+r {counter}'"
        ) from None
    except (OSError, ValueError) as error:
        raise ProbeUnavailable(f"{counter}: {error}") from None
    device = Device("cpu", "cpu", _name(zone))
    return _Package(counter, range_uj, device, raw_uj, time.monotonic(), time.time_ns())


def _advance(package: _Package) -> bool:
    """Add what was used since the last reading. A failed reading adds nothing: the next one covers its time too."""
    try:
        raw_uj = int(package.counter.read_text())
    except (OSError, ValueError) as error:
        if not package.failed:
            _log.warning("%s: %s", package.counter, error)
        package.failed = True
        return False
    package.failed = False
    now_s = time.monotonic()
    used_uj = _used_uj(package, raw_uj, now_s - package.last_s)
    if used_uj is None:
        _log.warning("%s: restarted, or wrapped unseen; a new series begins", package.counter)
        package.start_ns, package.total_uj = time.time_ns(), 0
    else:
        package.total_uj += used_uj
    package.last_uj, package.last_s = raw_uj, now_s
    return True


def _used_uj(package: _Package, raw_uj: int, elapsed_s: float) -> int | None:
    """What the package used since the last reading; ``None`` if that cannot be told."""
    most_uj = MOST_W * 1e6
    if elapsed_s > max(package.range_uj / most_uj, LONGEST_S):
        return None
    used_uj = raw_uj - package.last_uj
    if used_uj >= 0:
        return used_uj
    wrapped_uj = used_uj + package.range_uj
    return wrapped_uj if 0 <= wrapped_uj <= most_uj * max(elapsed_s, SHORTEST_S) else None
