"""Which power a board shows: instant (field 186) where it has it, else what ``nvmlDeviceGetPowerUsage`` says.

Instant power gives the shape of consumption between two readings of the counter; it is sampled (some boards look at a
quarter of the time) and is never the total. ``nvmlDeviceGetPowerUsage`` is a trailing mean over one second from Ampere
on (GA100 excepted) and instant before.
"""

from dataclasses import dataclass
from typing import Any

import pynvml

from conventions.units import watts_from_milliwatts

INSTANT, AVERAGE = "nvml.instant", "nvml.power"


@dataclass(frozen=True, slots=True)
class PowerQuestion:
    """How to ask a board for its power: field 186 with an NVML scope, or, without one, its power usage."""

    nvml_scope: int | None

    @property
    def source(self) -> str:
        """What a reading says it is."""
        return AVERAGE if self.nvml_scope is None else INSTANT

    def ask(self, handle: Any) -> float:
        """Watts. Raises ``NVMLError``."""
        if self.nvml_scope is None:
            return watts_from_milliwatts(pynvml.nvmlDeviceGetPowerUsage(handle))
        field = (pynvml.NVML_FI_DEV_POWER_INSTANT, self.nvml_scope)
        answer = pynvml.nvmlDeviceGetFieldValues(handle, [field])[0]
        if answer.nvmlReturn != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(answer.nvmlReturn)
        if answer.value.uiVal == 0:  # what some drivers say when they are asked too fast
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_DATA)
        return watts_from_milliwatts(answer.value.uiVal)


def power_question(handle: Any) -> PowerQuestion:
    """The best question this board answers: instant power of the GPU, of the module (Grace), else its power usage."""
    for nvml_scope in (pynvml.NVML_POWER_SCOPE_GPU, pynvml.NVML_POWER_SCOPE_MODULE):
        question = PowerQuestion(nvml_scope)
        try:
            question.ask(handle)
        except pynvml.NVMLError:
            continue
        return question
    return PowerQuestion(None)
