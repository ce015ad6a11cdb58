"""Attribute names on spans, data points and resources: OpenTelemetry's first, ours only where none exists.

Sources: open-telemetry/semantic-conventions-genai (``gen_ai.*``, development), semantic-conventions 1.44
(``hw.*``, ``service.*``, ``server.*``, ``error.type``), vLLM 0.32 ``vllm/tracing`` (``gen_ai.latency.*``).
"""

from typing import Final

# --- GenAI conventions -------------------------------------------------------------------------------------
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
CONVERSATION: Final = "gen_ai.conversation.id"
DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"  # a log record with the attributes of its span
EXCEPTION_EVENT: Final = "gen_ai.client.operation.exception"  # why a call did not succeed
CHOICE_EVENT: Final = "gen_ai.choice"  # up to 1.36: a body with a finish reason

# --- what stock vLLM adds on its `llm_request` span (our engine sends the same) -----------------------------
REQUEST_ID: Final = "gen_ai.request.id"
LATENCY_QUEUE: Final = "gen_ai.latency.time_in_queue"
LATENCY_TTFT: Final = "gen_ai.latency.time_to_first_token"
LATENCY_E2E: Final = "gen_ai.latency.e2e"
LATENCY_PREFILL: Final = "gen_ai.latency.time_in_model_prefill"
LATENCY_DECODE: Final = "gen_ai.latency.time_in_model_decode"
LATENCY_INFERENCE: Final = "gen_ai.latency.time_in_model_inference"
PROMPT_TOKENS_LEGACY: Final = "gen_ai.usage.prompt_tokens"
COMPLETION_TOKENS_LEGACY: Final = "gen_ai.usage.completion_tokens"
ENGINE_SPAN_NAME: Final = "llm_request"

# --- general ------------------------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EVENT_NAME: Final = "event.name"  # how log records were named before they had a field for it
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE: Final = "service.instance.id"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_STATUS: Final = "http.response.status_code"
PROCESS_PID: Final = "process.pid"
HOST_NAME: Final = "host.name"

# --- devices --------------------------------------------------------------------------------------------------
HW_ID: Final = "hw.id"
HW_TYPE: Final = "hw.type"
HW_NAME: Final = "hw.name"

# --- ours -----------------------------------------------------------------------------------------------------
ENGINE: Final = "tokenjoule.engine"
TENANT: Final = "tokenjoule.tenant"
TIER: Final = "tokenjoule.tier"
PRIORITY: Final = "tokenjoule.priority"
REGION: Final = "tokenjoule.region"
ROUTE_POLICY: Final = "tokenjoule.route.policy"
ROUTE_REASON: Final = "tokenjoule.route.reason"
CACHE_RESULT: Final = "tokenjoule.cache.result"  # miss | exact | semantic; absent = not cacheable
CACHE_SIMILARITY: Final = "tokenjoule.cache.similarity"
QUEUE_S: Final = "tokenjoule.queue_s"
PREFILL_S: Final = "tokenjoule.prefill_s"
DECODE_S: Final = "tokenjoule.decode_s"
BATCH_SIZE: Final = "tokenjoule.batch.size"
DRAFT_PROPOSED: Final = "tokenjoule.speculation.proposed"
DRAFT_ACCEPTED: Final = "tokenjoule.speculation.accepted"
SEMANTIC_TOKENS: Final = "tokenjoule.semantic_reuse.tokens"  # states from another place of another prompt; absent: 0
EARLY_EXIT_THRESHOLD: Final = "tokenjoule.early_exit.threshold"  # absent: every token went through all layers
EARLY_EXIT_TOKENS: Final = "tokenjoule.early_exit.tokens"  # output tokens said by an exit head
EARLY_EXIT_SKIPPED: Final = "tokenjoule.early_exit.skipped"  # decoded positions' worth of layers skipped, a double
SHED_REASON: Final = "tokenjoule.shed.reason"
ESCALATED_FROM: Final = "tokenjoule.escalated_from"
CONFIDENCE: Final = "tokenjoule.confidence"  # calibrated chance that an answer is right, 0 to 1
DEFERRED_S: Final = "tokenjoule.deferred_s"
RUN_ID: Final = "tokenjoule.run.id"
RUN_ARM: Final = "tokenjoule.run.arm"
RUN_SCENARIO: Final = "tokenjoule.run.scenario"
QUALITY_SCORE: Final = "tokenjoule.quality.score"
ROLE: Final = "tokenjoule.role"  # client | gateway | attempt | engine: which layer of one call this span is
ATTEMPT: Final = "tokenjoule.attempt"  # 1, 2, … within one request
OUTCOME: Final = "tokenjoule.outcome"  # answered | refused | failed | cancelled
ITL_S: Final = "tokenjoule.itl_s"  # double[]: gaps between token arrivals
SCHEDULED_LAG_S: Final = "tokenjoule.load.lag_s"  # sent − scheduled, by the load client's monotonic clock
FIRST_BYTE_S: Final = "tokenjoule.load.first_byte_s"

# --- training and batch jobs (resource attributes; status and error on the point that ends a job) ----------------
JOB_ID: Final = "tokenjoule.job.id"  # the same over restarts of a resumed job; a leg is service.instance.id
JOB_NAME: Final = "tokenjoule.job.name"
JOB_PARENT: Final = "tokenjoule.job.parent"  # the job that this one is a part of
JOB_WITHIN: Final = "tokenjoule.job.within"  # its leg in another process, whose CPU time contains this one's
JOB_DEVICES: Final = "tokenjoule.job.devices"  # string[]: hw.id of the GPUs it runs on; none: the CPU of host.name
JOB_THREADS: Final = "tokenjoule.job.cpu_threads"  # hardware threads that it may use
JOB_PRECISION: Final = "tokenjoule.job.precision"
JOB_CHECKPOINTING: Final = "tokenjoule.job.gradient_checkpointing"
JOB_FLOPS_METHOD: Final = "tokenjoule.job.flops.method"  # counted | stated
JOB_FLOPS_COST_S: Final = "tokenjoule.job.flops.cost_s"
JOB_STATUS: Final = "tokenjoule.job.status"  # ok | failed | interrupted

# --- provenance of every joule, gram and dollar (DESIGN §4) ----------------------------------------------------
# nvml.{counter,power,instant} | dcgm.counter | amdsmi | amdsmi.power | rapl | otlp | otlp.power | model | simulated |
# replay
ENERGY_SOURCE: Final = "tokenjoule.energy.source"
ENERGY_SCOPE: Final = "tokenjoule.energy.scope"  # gpu | module | cpu_package | dram | host
ENERGY_QUALITY: Final = "tokenjoule.energy.quality"  # measured | estimated | simulated
