"""What NVML's errors mean for a reading. The reading is left out in every case: never zero, never made up."""

from enum import Enum

import pynvml


class Silence(Enum):
    """Why a question got no answer, and what follows from it."""

    ABSENT = "the board does not have it"
    REFUSED = (
        "not permitted: run the collector as a user of the NVIDIA devices, in a container with"
        " NVIDIA_DRIVER_CAPABILITIES=utility and the device mounted"
    )
    LATER = "no answer now, asked again next time"
    BOARD_LOST = "the board is gone until it is reset, its handle is looked up again every few seconds"
    DRIVER_GONE = "the driver is gone or was replaced, NVML is opened again every few seconds"


MEANINGS = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: Silence.ABSENT,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: Silence.ABSENT,
    pynvml.NVML_ERROR_NO_PERMISSION: Silence.REFUSED,
    pynvml.NVML_ERROR_GPU_IS_LOST: Silence.BOARD_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED: Silence.BOARD_LOST,
    pynvml.NVML_ERROR_INVALID_ARGUMENT: Silence.BOARD_LOST,  # a handle from before the board was reset
    pynvml.NVML_ERROR_NOT_FOUND: Silence.BOARD_LOST,
    pynvml.NVML_ERROR_UNINITIALIZED: Silence.DRIVER_GONE,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: Silence.DRIVER_GONE,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: Silence.DRIVER_GONE,  # the driver was updated under a loaded library
}


UNSURE = {pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NOT_FOUND}
"""The handle is void, or the question means nothing to this board."""


def silence(error: pynvml.NVMLError, *, aside: bool = False) -> Silence:
    """What ``error`` means; errors not listed (timeout, in use, unknown) pass by themselves.

    ``aside``: asked beside the board's energy and power, and those say whether its handle is good.
    """
    if aside and error.value in UNSURE:
        return Silence.LATER
    return MEANINGS.get(error.value, Silence.LATER)
