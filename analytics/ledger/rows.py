"""The ledger's results as rows of ``energy_intervals``, ``attempt_energy`` and ``step_models``."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.choice import Chosen
from analytics.ledger.components import CONSTANTS, PUBLISHED
from analytics.ledger.devices import Balance, Device
from analytics.ledger.fitting import Fit
from analytics.ledger.idle import GUESSED
from analytics.ledger.inputs import Flags, Floats, Ints, LedgerInputs, LedgerResult
from analytics.ledger.jobs import JobShare
from analytics.ledger.requests import QUALITIES
from analytics.ledger.split import Share
from analytics.ledger.work import Work

TIME: Final = pa.timestamp("us")
INTERVALS: Final = pa.schema(
    [("device", pa.string()), ("engine", pa.string()), ("started_at", TIME), ("ended_at", TIME)]
    + [(name, pa.float64()) for name in ("total_j", "attributed_j", "idle_j", "unattributed_j")]
    + [("unattributed_reason", pa.string())]
    + [(name, pa.float64()) for name in ("predicted_j", "scale", "residual_j")]
    + [(name, pa.string()) for name in ("method", "source", "scope", "quality", "job")]
)
ATTEMPT_ENERGY: Final = pa.schema(
    [
        *(("request_id", pa.string()), ("attempt", pa.int32()), ("device", pa.string()), ("started_at", TIME)),
        *(("component", pa.string()), ("joules", pa.float64()), ("variance_j2", pa.float64())),
    ]
)
STEP_MODELS: Final = pa.schema(
    [("fitted_at", TIME), ("engine", pa.string()), ("device", pa.string()), ("model", pa.string())]
    + [(name, pa.float64()) for name in (*CONSTANTS, "idle_w", "r2", "condition")]
    + [("intervals", pa.int32()), ("method", pa.string()), ("idle_basis", pa.string())]
    + [("covariance", pa.list_(pa.float64())), ("residual_rms_j", pa.float64())]
)
COMPONENTS: Final = ("steps", "prefill", "decode", "context")

UNCLAIMED: Final = "unclaimed"
NO_WORK: Final = "no_work"
OVERHEAD: Final = "overhead"
UNSHARED: Final = "unshared"
GAP: Final = "gap"
MEASURED, ESTIMATED, _ = QUALITIES


class Rows:
    """Collects rows device by device and cuts them to the window."""

    def __init__(self, inputs: LedgerInputs, edges_ns: Ints) -> None:
        self._inputs = inputs
        self._edges = pa.array(edges_ns // 1000, pa.int64()).cast(TIME)
        begin, end = inputs.window_ns
        self._inside: Flags = (edges_ns[:-1] >= begin) & (edges_ns[:-1] < end)
        self._edge_s = (edges_ns - edges_ns[0]) / 1e9
        self._intervals: list[pa.Table] = []
        self._energy: list[pa.Table] = []
        self._models: list[dict[str, Any]] = []
        self._estimated: dict[str, Flags] = {}

    def place(self, device: Device, estimated: Flags) -> None:
        """Says in which intervals of ``device`` joules are no measurement; call it before adding any."""
        self._estimated[device.name] = estimated

    def add_share(self, device: Device, engine: str, rule: Chosen, share: Share, work: Work) -> None:
        """What ``engine`` did of a pool's energy by ``rule``, and each of its attempts' part."""
        total = share.claimed_j + share.unclaimed_j
        rows = np.flatnonzero(self._inside & rule.intervals & ((total > 0) | (share.predicted_j > 0)))
        reason = _reasons(share.unclaimed_j[rows], UNCLAIMED)
        values = {"attributed_j": share.claimed_j[rows], "unattributed_j": share.unclaimed_j[rows]}
        if rule.joules:
            predicted = share.predicted_j[rows]
            values |= {"predicted_j": predicted, "scale": share.scale[rows], "residual_j": total[rows] - predicted}
        self._add(device, rows, values | {"total_j": total[rows]}, engine=engine, reason=reason, method=rule.method)
        self._add_attempts(device, share, work)

    def add_job(self, device: Device, share: JobShare, known: Flags) -> None:
        """What a training or batch job used: all of it is attributed, to the job."""
        rows = np.flatnonzero(self._inside & known & (share.joules > 0))
        joules = share.joules[rows]
        values = {"total_j": joules, "attributed_j": joules, "job": [share.job] * len(rows)}
        self._add(device, rows, values, reason=[None] * len(rows), method=share.method)

    def add_no_work(self, device: Device, engines: tuple[str, ...], joules: Floats) -> None:
        """Active energy of a pool in intervals without any work; named after its engine if it has only one."""
        rows = np.flatnonzero(self._inside & (joules > 0))
        engine = engines[0] if len(engines) == 1 else None
        self._add(device, rows, _unattributed(joules[rows]), engine=engine, reason=NO_WORK)

    def add_device(self, device: Device, whole: Balance, overhead: Floats, unshared: Flags) -> None:
        """Idle energy and what no engine's process used, or may have; a row without joules for every gap."""
        rows = np.flatnonzero(self._inside & whole.known)
        left, idle = overhead[rows], whole.idle[rows]
        reason = [
            None if joules <= 0 else UNSHARED if unsure else OVERHEAD
            for joules, unsure in zip(left, unshared[rows], strict=True)
        ]
        values = _unattributed(left) | {"idle_j": idle, "total_j": idle + left}
        self._add(device, rows, values, reason=reason, estimated=whole.idle_basis in GUESSED)
        times = device.energy.times
        measured = (self._edge_s[:-1] >= times[0]) & (self._edge_s[1:] <= times[-1])
        gaps = np.flatnonzero(self._inside & measured & ~whole.known)
        self._add(device, gaps, {}, reason=GAP)

    def add_models(self, device: Device, engines: tuple[str, ...], chosen: list[Chosen], whole: Balance) -> None:
        """Constants that were fitted now and are joules."""
        for rule in chosen:
            if rule.fresh and rule.joules:
                said = {"r2": rule.fit.r2, "condition": rule.fit.condition, "intervals": rule.fit.intervals}
                said["residual_rms_j"] = rule.fit.residual_rms_j
                for engine, constants, kept in zip(engines, rule.fit.constants, _blocks(rule.fit), strict=True):
                    fixed: dict[str, Any] = {"engine": engine, "device": device.name, "method": rule.method}
                    fixed |= {"idle_w": whole.idle_w, "idle_basis": whole.idle_basis, "covariance": kept}
                    named = dict(zip(CONSTANTS, map(float, constants), strict=True))
                    self._models.append(fixed | said | named | {"model": self._model_of(engine)})

    def result(self) -> LedgerResult:
        """All rows, in the order of their time. ``fitted_at`` is the end of the data: the ledger has no clock."""
        intervals = _concatenated(self._intervals, INTERVALS).sort_by([("started_at", "ascending")])
        energy = _concatenated(self._energy, ATTEMPT_ENERGY)
        fitted_at = self._edges[len(self._edges) - 1].as_py()
        models = [row | {"fitted_at": fitted_at} for row in self._models]
        return LedgerResult(intervals, energy, pa.Table.from_pylist(models, schema=STEP_MODELS))

    def _add(
        self, device: Device, rows: Ints, values: dict[str, Any], *, reason: Any, engine: str | None = None,
        method: str = "none", estimated: bool = False,
    ) -> None:  # fmt: skip
        size = len(rows)
        zeros = np.zeros(size)
        joules = dict.fromkeys(("total_j", "attributed_j", "idle_j", "unattributed_j"), zeros)
        said = {"device": device.name, "engine": engine, "method": method}
        said |= {"source": device.source, "scope": device.scope}
        columns = joules | {key: [value] * size for key, value in said.items()} | values
        columns["quality"] = _qualities(device.quality, self._estimated[device.name][rows] | estimated)
        columns["unattributed_reason"] = [reason] * size if isinstance(reason, str) else reason
        columns |= {"started_at": self._edges.take(rows), "ended_at": self._edges.take(rows + 1)}
        filled = {name: columns.get(name, [None] * size) for name in INTERVALS.names}
        self._intervals.append(pa.table(filled, schema=INTERVALS))

    def _add_attempts(self, device: Device, share: Share, work: Work) -> None:
        sums = share.joules.sum(axis=1)
        said = (sums > 0) | (share.variance_j2 > 0)  # 0 J with an error: the meter's noise hid what was used
        entries = np.flatnonzero(self._inside[share.intervals] & said)
        joules, whole = share.joules[entries], sums[entries]
        origin = pa.array(work.rows[share.attempts[entries]])
        identity = self._inputs.attempts.select(["request_id", "attempt"]).take(origin).combine_chunks()
        started = self._edges.take(share.intervals[entries])
        for component in COMPONENTS:
            own = joules[:, [name == component for name in PUBLISHED]].sum(axis=1)
            kept = np.flatnonzero((own > 0) | ((whole == 0) & (component == COMPONENTS[0])))
            part = np.divide(own[kept], whole[kept], out=np.ones(len(kept)), where=whole[kept] > 0)
            variance = share.variance_j2[entries][kept] * part
            self._energy.append(
                pa.table(
                    {
                        "request_id": identity["request_id"].take(kept),
                        "attempt": pc.cast(identity["attempt"].take(kept), pa.int32()),
                        "device": [device.name] * len(kept),
                        "started_at": started.take(kept),
                        "component": [component] * len(kept),
                        "joules": own[kept],
                        "variance_j2": pa.array(variance, from_pandas=True),
                    },
                    schema=ATTEMPT_ENERGY,
                )
            )

    def _model_of(self, engine: str) -> str | None:
        """The model that the engine's latest attempt names."""
        attempts = self._inputs.attempts
        named = attempts.filter(pc.and_kleene(pc.equal(attempts["engine"], engine), pc.is_valid(attempts["model"])))
        newest = named.sort_by([("started_at", "descending")]).slice(0, 1)["model"].to_pylist()
        return newest[0] if newest else None


def _qualities(quality: str, estimated: Flags) -> list[str]:
    """What is measured is an estimate where its place or its idle part is one; what is simulated stays so."""
    return [ESTIMATED if quality == MEASURED and one else quality for one in estimated]


def _blocks(fit: Fit) -> list[list[float] | None]:
    """Per engine its rows of the covariance, one after another; None where no error is stated."""
    covariance, engines = fit.remembered(), len(fit.constants)
    if covariance is None:
        return [None] * engines
    return [[float(value) for value in block.ravel()] for block in np.split(covariance, engines)]


def _unattributed(joules: Floats) -> dict[str, Floats]:
    return {"unattributed_j": joules, "total_j": joules}


def _reasons(joules: Floats, reason: str) -> list[str | None]:
    return [reason if value > 0 else None for value in joules]


def _concatenated(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(tables) if tables else schema.empty_table()
