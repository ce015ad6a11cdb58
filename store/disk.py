"""Files and folders that are on disk when a call returns."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Force the file, or the names in the folder, ``path`` to disk. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
