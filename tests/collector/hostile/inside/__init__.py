"""How a test reaches into a collector's process: see ``sitecustomize``."""

import os
import time
from pathlib import Path

PATIENCE_S = 60.0


class Inside:
    """The files by which the clock is set, and threads or the process are killed, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        self.environment = {"PYTHONPATH": path, "TOKENJOULE_INSIDE": str(folder)}

    def set_clock(self, wrong_s: int) -> None:
        """Make the wall clock wrong by so many seconds; done when the process had time to look."""
        fresh = self._folder / "clock.new"
        fresh.write_text(str(wrong_s))
        fresh.replace(self._folder / "clock")
        time.sleep(1.0)  # it looks twenty times a second, and nothing else tells that it has

    def kill(self, thread: str) -> None:
        """Ask for the thread's end; ``killed`` says when."""
        (self._folder / "kill").write_text(thread)

    def killed(self) -> bool:
        """Whether the thread is gone."""
        return (self._folder / "killed").exists()

    def kill_at(self, place: str, moment: str) -> None:
        """From now on the process ends by ``SIGKILL`` ``before`` or ``after`` the next call of ``module:function``."""
        fresh = self._folder / "kill_at.new"
        fresh.write_text(f"{place} {moment}")
        fresh.replace(self._folder / "kill_at")
        deadline = time.monotonic() + PATIENCE_S
        while not (self._folder / "armed").exists():
            assert time.monotonic() < deadline, f"{place} is not there"
            time.sleep(0.05)
