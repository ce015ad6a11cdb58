"""Metric instruments: name, unit and kind of everything we emit or read as OTLP metrics.

Engine instruments are cumulative sums; the ledger takes differences (DESIGN §6). ``gen_ai.server.*`` buckets
are those of the GenAI conventions.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: its OpenTelemetry name, UCUM unit, kind and what it counts."""

    name: str
    unit: str
    kind: Kind
    description: str


# --- devices and host -----------------------------------------------------------------------------------------
HW_ENERGY = Instrument("hw.energy", "J", "counter", "energy of a device since its counter began")
HW_POWER = Instrument("hw.power", "W", "gauge", "power of a device now")
HW_IDLE_POWER = Instrument(
    "tokenjoule.hw.idle_power", "W", "gauge", "power at no load, where an estimating probe states it"
)
HW_ENERGY_REFRESH = Instrument(
    "tokenjoule.hw.energy.refresh_period", "s", "gauge", "time between two steps of an energy counter, as measured"
)
HW_ENERGY_READ_TIME = Instrument(
    "tokenjoule.hw.energy.read_time", "s", "gauge", "time that one reading of an energy counter takes, as measured"
)
GPU_UTILIZATION = Instrument("hw.gpu.utilization", "1", "gauge", "share of time a GPU ran a kernel")
GPU_MEMORY_USAGE = Instrument("hw.gpu.memory.usage", "By", "gauge", "GPU memory in use")
HOST_CPU_TIME = Instrument("system.cpu.time", "s", "counter", "CPU seconds of the host that were not idle")
PROCESS_CPU_TIME = Instrument("process.cpu.time", "s", "counter", "CPU seconds of one engine's or job's processes")

# --- engine interval counters (cumulative) ----------------------------------------------------------------------
ENGINE_STEPS = Instrument("tokenjoule.engine.steps", "{step}", "counter", "model forward passes with work")
ENGINE_RUNNING_STEPS = Instrument(
    "tokenjoule.engine.running_steps", "{request}", "counter", "sum over steps of the requests running in it"
)
ENGINE_PREFILL_TOKENS = Instrument(
    "tokenjoule.engine.prefill_tokens", "{token}", "counter", "prompt positions computed, cached ones excluded"
)
ENGINE_PREFILL_CONTEXT = Instrument(
    "tokenjoule.engine.prefill_context", "{token}", "counter", "sum over computed prompt positions of their context"
)
ENGINE_DECODE_TOKENS = Instrument(
    "tokenjoule.engine.decode_tokens", "{token}", "counter",
    "positions computed in decode, rejected drafts included; one that left early counts the share of its layers",
)  # fmt: skip
ENGINE_DECODE_CONTEXT = Instrument(
    "tokenjoule.engine.decode_context", "{token}", "counter", "sum over decoded positions of their context"
)
ENGINE_GENERATED_TOKENS = Instrument(
    "tokenjoule.engine.generated_tokens", "{token}", "counter", "output tokens, the first of each request included"
)
ENGINE_RUNNING = Instrument("tokenjoule.engine.running", "{request}", "gauge", "requests in the batch now")
ENGINE_WAITING = Instrument("tokenjoule.engine.waiting", "{request}", "gauge", "requests queued now")
ENGINE_KV_USAGE = Instrument("tokenjoule.engine.kv_usage", "1", "gauge", "share of the KV cache in use")
ENGINE_ABORTED = Instrument("tokenjoule.engine.aborted", "{request}", "counter", "requests cancelled or failed")
ENGINE_PREFIX_QUERIES = Instrument(
    "tokenjoule.engine.prefix_cache_queries", "{token}", "counter", "prompt tokens looked up in the prefix cache"
)
ENGINE_PREFIX_HITS = Instrument(
    "tokenjoule.engine.prefix_cache_hits", "{token}", "counter", "prompt tokens found in the prefix cache"
)
ENGINE_PREEMPTIONS = Instrument(
    "tokenjoule.engine.preemptions", "{preemption}", "counter", "running requests put back into the queue for others"
)
ENGINE_DRAFT_PROPOSED = Instrument(
    "tokenjoule.engine.draft_proposed", "{token}", "counter", "tokens proposed by speculation"
)
ENGINE_DRAFT_ACCEPTED = Instrument(
    "tokenjoule.engine.draft_accepted", "{token}", "counter", "proposed tokens that were accepted"
)
ENGINE_SEMANTIC_TOKENS = Instrument(
    "tokenjoule.engine.semantic_reuse_tokens", "{token}", "counter",
    "prompt tokens whose states came from another place of an earlier prompt",
)  # fmt: skip
ENGINE_SEMANTIC_CHECKS = Instrument(
    "tokenjoule.engine.semantic_checks", "{prompt}", "counter", "prompts computed with borrowed states and without"
)
ENGINE_SEMANTIC_DISAGREEMENTS = Instrument(
    "tokenjoule.engine.semantic_disagreements", "{prompt}", "counter", "checks whose likeliest next token differed"
)
ENGINE_SEMANTIC_CHECK_TOKENS = Instrument(
    "tokenjoule.engine.semantic_check_tokens", "{token}", "counter", "prompt positions computed only to be compared"
)
ENGINE_SEMANTIC_TRUSTED = Instrument(
    "tokenjoule.engine.semantic_trusted",
    "1",
    "gauge",
    "1 while states of alike chunks may be reused, 0 above the bound",
)
ENGINE_SEMANTIC_DIVERGENCE = Instrument(
    "tokenjoule.engine.semantic_divergence", "nat", "gauge", "mean divergence of the next token in the newest checks"
)
ENGINE_EARLY_EXIT_TOKENS = Instrument(
    "tokenjoule.engine.early_exit_tokens", "{token}", "counter", "output tokens said by an exit head"
)
ENGINE_EARLY_EXIT_SKIPPED = Instrument(
    "tokenjoule.engine.early_exit_skipped", "{token}", "counter", "decoded positions' worth of layers that were skipped"
)
ENGINE_DRAFT_LENGTH = Instrument(
    "tokenjoule.engine.draft_length", "{token}", "gauge", "most tokens drafted per request now; 0 where it does not pay"
)
ENGINE_DRAFT_GAIN = Instrument(
    "tokenjoule.engine.draft_gain", "1", "gauge", "estimated decode speed with drafts over the speed without, now"
)

ENGINE_COUNTERS: Final = (
    ENGINE_STEPS,
    ENGINE_RUNNING_STEPS,
    ENGINE_PREFILL_TOKENS,
    ENGINE_PREFILL_CONTEXT,
    ENGINE_DECODE_TOKENS,
    ENGINE_DECODE_CONTEXT,
    ENGINE_GENERATED_TOKENS,
    ENGINE_ABORTED,
)
ENGINE_SAVINGS: Final = (
    ENGINE_PREFIX_QUERIES,
    ENGINE_PREFIX_HITS,
    ENGINE_DRAFT_PROPOSED,
    ENGINE_DRAFT_ACCEPTED,
    ENGINE_SEMANTIC_TOKENS,
    ENGINE_SEMANTIC_CHECKS,
    ENGINE_SEMANTIC_DISAGREEMENTS,
    ENGINE_SEMANTIC_CHECK_TOKENS,
    ENGINE_EARLY_EXIT_TOKENS,
    ENGINE_EARLY_EXIT_SKIPPED,
    ENGINE_PREEMPTIONS,
)
"""What reuse and speculation spared and how often work was put back. The ledger reads only what was computed."""
ENGINE_GAUGES: Final = (
    ENGINE_RUNNING,
    ENGINE_WAITING,
    ENGINE_KV_USAGE,
    ENGINE_DRAFT_LENGTH,
    ENGINE_DRAFT_GAIN,
    ENGINE_SEMANTIC_TRUSTED,
    ENGINE_SEMANTIC_DIVERGENCE,
)

# --- training and batch jobs (cumulative over one leg: from one start of the process to its end) -------------------
JOB_STEPS = Instrument("tokenjoule.job.steps", "{step}", "counter", "steps that a job finished")
JOB_SAMPLES = Instrument("tokenjoule.job.samples", "{sample}", "counter", "samples that a job worked through")
JOB_TOKENS = Instrument("tokenjoule.job.tokens", "{token}", "counter", "tokens that a job worked through")
JOB_FLOPS = Instrument("tokenjoule.job.flops", "{operation}", "counter", "floating-point operations that a job did")
JOB_DURATION = Instrument("tokenjoule.job.duration", "s", "counter", "seconds since the leg began, by a steady clock")
JOB_LOSS = Instrument("tokenjoule.job.loss", "1", "gauge", "loss of the newest step that was looked at")
JOB_ENDED = Instrument("tokenjoule.job.ended", "1", "gauge", "1 once the leg is over; says how by its attributes")

JOB_COUNTERS: Final = (JOB_STEPS, JOB_SAMPLES, JOB_TOKENS, JOB_FLOPS, JOB_DURATION)

# --- server latency histograms (GenAI conventions) ---------------------------------------------------------------
SERVER_DURATION = Instrument("gen_ai.server.request.duration", "s", "histogram", "request duration")
SERVER_TTFT = Instrument("gen_ai.server.time_to_first_token", "s", "histogram", "arrival to first token")
SERVER_TPOT = Instrument("gen_ai.server.time_per_output_token", "s", "histogram", "decode time per output token")

DURATION_BUCKETS_S: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TTFT_BUCKETS_S: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
TPOT_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
