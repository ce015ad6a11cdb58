"""Coverage-guided fuzzing of all that reads a body: ``python -m tests.collector.fuzz.decoder [libFuzzer options]``.

``make fuzz`` runs it in a venv of its own with atheris, from the seeds of ``seeds.py``. It ends with libFuzzer's
report: runs, and the input that failed, if any.
"""

import ctypes
import os
import sys

import atheris

with atheris.instrument_imports(include=["collector", "conventions", "google.protobuf.json_format", "json"]):
    from tests.collector.fuzz import property as fuzzed


def one_input(sent: bytes) -> None:
    """The first byte chooses the signal and the way, the rest is the body."""
    if not sent:
        return
    signal, way = divmod(sent[0] % (len(fuzzed.EVERY_SIGNAL) * len(fuzzed.WAYS)), len(fuzzed.WAYS))
    fuzzed.holds(fuzzed.EVERY_SIGNAL[signal], fuzzed.WAYS[way], sent[1:])


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _leave(_argument: object) -> None:
    """libFuzzer ends by ``exit``, under which the destructors of Arrow and DuckDB fall over each other."""
    os._exit(0)


if __name__ == "__main__":
    ctypes.CDLL(None).__cxa_atexit(_leave, None, None)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
