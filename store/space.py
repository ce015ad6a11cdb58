"""Free space on the store's disk. DuckDB gives up a database whose checkpoint finds the disk full, so writes stop
before that, while a reserve is left, and reading goes on.
"""

import os
import shutil
from pathlib import Path

from conventions.errors import StoreError


def has(folder: Path, nbytes: int) -> bool:
    """Whether so many bytes are free where ``folder`` is."""
    return shutil.disk_usage(folder).free >= nbytes


def require(folder: Path, reserve: int) -> None:
    """Raises ``StoreError`` when fewer than ``reserve`` bytes are free where ``folder`` is."""
    if not reserve:
        return
    free = shutil.disk_usage(folder).free
    if free < reserve:
        raise StoreError(
            f"the disk of {folder} is full: {free / 1e6:.0f} MB free, {reserve / 1e6:.0f} MB must stay so; "
            "make room, or let days be forgotten (upkeep.keep_days, upkeep.max_gb)"
        )


def require_writable(file: Path) -> None:
    """Make the folder of ``file`` if missing. Raises ``StoreError`` when it or the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the data folder {file.parent}: {error}") from error
    for path in (file.parent, file):
        if path.exists() and not (os.access(path, os.W_OK) and _mounted_writable(path)):
            raise StoreError(f"{path} is read-only: choose another data folder, or make it writable for this user")


def _mounted_writable(path: Path) -> bool:
    return not os.statvfs(path).f_flag & os.ST_RDONLY
