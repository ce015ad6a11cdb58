"""Energy of CPU packages from RAPL, through Linux's powercap files.

Only package zones are read: their subzones (core, uncore, dram) and ``psys`` overlap them. The counter is in µJ and
wraps at ``max_energy_range_uj`` (262,144 J on many parts, some 12 minutes at 350 W); two wraps between readings cannot
be seen. Since CVE-2020-8694 the files are readable by root only.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from collector.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions.instruments import HW_ENERGY
from conventions.units import joules_from_microjoules

POWERCAP = Path("/sys/class/powercap")
PROVENANCE = Provenance("rapl", "cpu_package", "measured")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Package:
    """One package zone: its last raw value and what it used since it was opened (both µJ)."""

    counter: Path
    range_uj: int
    device: Device
    last_uj: int
    total_uj: int = 0
    failed: bool = False


class Probe:
    """All CPU packages of this host."""

    estimates = False
    scopes = frozenset({"cpu_package"})

    def __init__(self, context: ProbeContext, powercap: Path = POWERCAP) -> None:  # noqa: ARG002  # built alike
        zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _is_package(zone)]
        if not zones:
            raise ProbeUnavailable(f"no RAPL package under {powercap} (virtual machines and containers hide it)")
        self._packages = [_open(zone, number) for number, zone in enumerate(zones)]
        self._start_ns = time.time_ns()
        self.description = ", ".join(f"{package.device.name} as {package.device.id}" for package in self._packages)

    def read(self) -> list[Sample]:
        """Joules of every package since it was opened; one that cannot be read now is left out."""
        samples = []
        for package in self._packages:
            if _advance(package):
                joules = joules_from_microjoules(package.total_uj)
                samples.append(Sample(HW_ENERGY, joules, time.time_ns(), self._start_ns, package.device, PROVENANCE))
        return samples

    def close(self) -> None:
        """Nothing is held open."""


def _is_package(zone: Path) -> bool:
    """Zones are named ``intel-rapl:N``, subzones ``intel-rapl:N:M``."""
    name_file = zone / "name"
    return zone.name.count(":") == 1 and name_file.exists() and name_file.read_text().startswith("package")


def _open(zone: Path, number: int) -> _Package:
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
    name = (zone / "name").read_text().strip()
    return _Package(counter, range_uj, Device(f"cpu:{number}", "cpu", name), raw_uj)


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
    used_uj = raw_uj - package.last_uj
    package.total_uj += used_uj if used_uj >= 0 else used_uj + package.range_uj
    package.last_uj = raw_uj
    return True
