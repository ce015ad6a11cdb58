"""NVIDIA's dcgm-exporter: energy and power by board (label ``UUID``).

``DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION`` is in mJ since the driver was loaded. Under MIG the exporter repeats a board's
value for each instance (labels ``GPU_I_ID``, ``GPU_I_PROFILE``): a board counts once. Boards that
the ``nvml`` probe samples too would stand twice: choose one.
"""

from collector.sampling.reading import Reading
from collector.sampling.sample import Provenance
from conventions import instruments

MEASURED = Provenance("dcgm.counter", "gpu", "measured")

READINGS = (
    Reading(
        instruments.HW_ENERGY,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        scale=1e-3,
        device_label="UUID",
        name_label="modelName",
        provenance=MEASURED,
    ),
    Reading(
        instruments.HW_POWER,
        "DCGM_FI_DEV_POWER_USAGE",
        device_label="UUID",
        name_label="modelName",
        provenance=MEASURED,
    ),
)
