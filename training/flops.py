"""Floating-point operations of a job, counted by ``torch.utils.flop_counter`` during one step and multiplied.

It counts matrix products, convolutions and attention as they are executed, so recomputation under gradient
checkpointing is in it; element-wise work and the optimizer are not. One step is counted because counting costs time:
how much is measured.
"""

import sys
import threading
import time
from typing import Any


class FlopEstimate:
    """Counts the second step (the first warms caches and compiles) and multiplies by the amount of work.

    Without torch in the program nothing is counted, and a count of nothing is no answer: ``per_unit`` stays None.
    """

    def __init__(self) -> None:
        self.per_unit: float | None = None
        self.cost_s: float | None = None  # of counting: the counted step's duration less that of the step after it
        self._mode: Any = None
        self._is_over = False
        self._thread = 0
        self._begun = (0, 0.0)  # amount and moment
        self._counted_s: float | None = None

    def step_done(self, amount: int) -> None:
        """A step is over and ``amount`` of work is done in all; ends, begins or appraises the count."""
        now_s = time.monotonic()
        before, begun_s = self._begun
        if self._counted_s is not None:
            self.cost_s = max(0.0, self._counted_s - (now_s - begun_s))
            self._counted_s = None
        if self._mode is None:
            if not self._is_over and "torch" in sys.modules:
                self._start()
        elif (counted := self.stop()) is None:
            return  # still counting: more steps, more amount
        elif counted and amount > before:
            self.per_unit, self._counted_s = counted / (amount - before), now_s - begun_s
        self._begun = (amount, time.monotonic())

    def stop(self) -> int | None:
        """Leave the counting mode: its operations, or None where it cannot be left now.

        That is on another thread, or with another dispatch mode inside ours: leaving takes off the innermost one.
        """
        mode = self._mode
        if mode is None or threading.get_ident() != self._thread or not _is_innermost(mode):
            return None
        self._mode, self._is_over = None, True
        mode.__exit__(None, None, None)
        return int(mode.get_total_flops())

    def _start(self) -> None:
        from torch.utils.flop_counter import FlopCounterMode

        mode: Any = FlopCounterMode(display=False)
        mode.__enter__()
        self._mode, self._thread = mode, threading.get_ident()


def _is_innermost(mode: Any) -> bool:
    """Leaving a dispatch mode takes off the innermost one, whosever it is: never somebody else's."""
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    return _get_current_dispatch_mode() is getattr(mode, "mode", mode)
