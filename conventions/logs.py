"""Logging, set up once per process by its ``__main__``; everybody else only calls ``getLogger(__name__)``."""

import logging
import sys
import time

FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"


def configure(level: str = "INFO") -> None:
    """Log to standard error, one line per record, UTC times.

    Raises ``ValueError`` for a level that logging does not know.
    """
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
