"""The load client: precomputed open-loop schedules, a streaming client with its own stopwatch, runs under a run id.

Nothing here patches the interpreter on import except ``loadgen.__main__``, and Locust itself, which only
``loadgen.user``, ``.run`` and ``.locustfile`` import: other processes start the load as ``python -m loadgen run …``.
"""
