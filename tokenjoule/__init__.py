"""The command line: it starts the others and prints what they know, and holds no logic of its own.

``tokenjoule.track`` and ``tokenjoule.current_job`` are ``training.track``'s, imported when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.track import Job, current_job, track

__all__ = ["Job", "current_job", "track"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from training import track as tracking

    return getattr(tracking, name)
