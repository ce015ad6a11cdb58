"""What a job runs on, as far as it can be seen from inside without disturbing it."""

import os
import sys


def torch_gpus() -> list[str]:
    """UUIDs of the GPUs on which torch holds memory for this process, as NVML names them.

    CUDA is not woken up for it: a program that forks afterwards would fail.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return []
    held = [index for index in range(cuda.device_count()) if cuda.memory_reserved(index) > 0]
    return [f"GPU-{cuda.get_device_properties(index).uuid}" for index in held]


def hardware_threads() -> int:
    """Hardware threads that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
