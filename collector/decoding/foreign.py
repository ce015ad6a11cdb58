"""What other emitters call energy and power of devices: their names and attributes, and ours.

``hw.gpu.*`` is OpenLIT's GPU collector up to the version that took over ``hw.energy``; ``DCGM_FI_DEV_*`` is
dcgm-exporter passed on by an OpenTelemetry Collector's Prometheus receiver (mJ since the driver was loaded; rows of MIG
instances repeat their board's value at the same time, which counts once). From their source and documentation, not
recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from collector.normalising.values import Attributes
from conventions.attributes import ENERGY_SOURCE, HW_ID, HW_NAME, HW_TYPE
from conventions.instruments import HW_ENERGY, HW_POWER, Instrument


@dataclass(frozen=True, slots=True)
class Foreign:
    """A metric of somebody else: our instrument, the factor to its unit, attributes renamed and added."""

    instrument: Instrument
    factor: float = 1.0
    renamed: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=lambda: {HW_TYPE: "gpu"})

    def translate(self, attributes: Attributes) -> None:
        """Their attributes under our names; what they say themselves under ours wins."""
        for theirs, ours in self.renamed.items():
            if theirs in attributes:
                attributes.setdefault(ours, attributes.pop(theirs))
        for ours, value in self.added.items():
            attributes.setdefault(ours, value)


DCGM: Final = {
    "renamed": {"UUID": HW_ID, "modelName": HW_NAME},
    "added": {HW_TYPE: "gpu", ENERGY_SOURCE: "dcgm.counter"},
}
FOREIGN: Final[Mapping[str, Foreign]] = {
    "hw.gpu.energy.consumed": Foreign(HW_ENERGY),
    "hw.gpu.power.draw": Foreign(HW_POWER),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": Foreign(HW_ENERGY, 1e-3, **DCGM),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION_total": Foreign(HW_ENERGY, 1e-3, **DCGM),
    "DCGM_FI_DEV_POWER_USAGE": Foreign(HW_POWER, 1.0, **DCGM),
}
