"""Which attributes say what: for each promoted column the names it goes by, in order of preference.

Canonical names first, then legacy ones, then vendors' own; the first that is present and makes sense wins, and two
spellings on one span are never summed. Sources: the change list of semantic-conventions-genai since v1.41
(``cache_creation`` → ``cache_write``), vLLM 0.32, opentelemetry-semantic-conventions-ai 0.5.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collector.normalising import coercion
from collector.normalising.flows import lifted
from collector.normalising.seen import Fields
from collector.normalising.values import Attributes
from conventions import attributes as names

Plan = tuple[tuple[str, Callable[[Any], Any], tuple[str, ...]], ...]  # column, how to read it, its names, best first
PLANNED_NAMES = 64  # spans of more or longer names are rare, and their plans would fill memory
PLANNED_CHARACTERS = 4_096
MOST_VOCABULARIES, MOST_PLANS = 64, 512


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity
class Field:
    """One promoted column, how its value is read, and the attribute names it goes by."""

    column: str
    convert: Callable[[Any], Any]
    keys: tuple[str, ...]


def read(attributes: Attributes, fields: tuple[Field, ...]) -> Fields:
    """What ``attributes`` say about ``fields``; what was read is taken out of ``attributes``."""
    found: Fields = {}
    told = type(attributes) is dict
    for column, convert, keys in _plan(fields, tuple(attributes)):
        for key in keys:
            if key in attributes:  # an earlier field may have taken it
                value = convert(attributes[key]) if told else lifted(convert, attributes[key])
                if value is not None:
                    found[column] = value
                    del attributes[key]
                    break
    return found


def _planned(fields: tuple[Field, ...], sent: tuple[str, ...]) -> Plan:
    """The fields that attributes of the names ``sent`` can fill. An emitter sends few sets of names, over and over."""
    present = frozenset(sent)
    plan = ((field.column, field.convert, tuple(key for key in field.keys if key in present)) for field in fields)
    return tuple(step for step in plan if step[2])


def _plan(fields: tuple[Field, ...], sent: tuple[str, ...]) -> Plan:
    """The plan for ``sent``, from memory where it is there. ``fields`` is known by identity: hashing it costs more."""
    known = _PLANS.get(id(fields))
    if known is None or known[0] is not fields:
        _make_room(_PLANS, MOST_VOCABULARIES)
        known = _PLANS[id(fields)] = fields, {}
    plan = known[1].get(sent)
    if plan is None:
        plan = _planned(fields, sent)
        if len(sent) <= PLANNED_NAMES and sum(map(len, sent)) <= PLANNED_CHARACTERS:
            _make_room(known[1], MOST_PLANS)
            known[1][sent] = plan
    return plan


def _make_room(known: dict[Any, Any], most: int) -> None:
    """Forget everything when it is full: what comes over and over is known again at once."""
    if len(known) >= most:
        known.clear()


_PLANS: dict[int, tuple[tuple[Field, ...], dict[tuple[str, ...], Plan]]] = {}


OURS = (
    Field("engine", coercion.name, (names.ENGINE,)),
    Field("tenant", coercion.name, (names.TENANT,)),
    Field("tier", coercion.name, (names.TIER,)),
    Field("priority", coercion.name, (names.PRIORITY,)),
    Field("region", coercion.name, (names.REGION,)),
    Field("run_id", coercion.name, (names.RUN_ID,)),
    Field("run_arm", coercion.name, (names.RUN_ARM,)),
    Field("run_scenario", coercion.name, (names.RUN_SCENARIO,)),
)

GATEWAY = (
    Field("cache_result", coercion.folded, (names.CACHE_RESULT,)),
    Field("route_policy", coercion.name, (names.ROUTE_POLICY,)),
    Field("route_reason", coercion.name, (names.ROUTE_REASON,)),
    Field("escalated_from", coercion.name, (names.ESCALATED_FROM,)),
    Field("attempt", coercion.ordinal, (names.ATTEMPT,)),
    Field("outcome", coercion.folded, (names.OUTCOME,)),
    Field("draft_proposed", coercion.count, (names.DRAFT_PROPOSED,)),
    Field("draft_accepted", coercion.count, (names.DRAFT_ACCEPTED,)),
    Field("exit_skipped", coercion.real, (names.EARLY_EXIT_SKIPPED,)),
    Field("quality_score", coercion.real, (names.QUALITY_SCORE,)),
    Field("itl_s", coercion.gaps, (names.ITL_S,)),
)

CALL = (
    Field("operation", coercion.folded, (names.OPERATION, "llm.request.type")),
    Field("provider", coercion.folded, (names.PROVIDER, "gen_ai.system", "gen_ai.request.provider")),
    Field("model_requested", coercion.name, (names.REQUEST_MODEL, "llm.request.model", "llm.model")),
    Field("model_served", coercion.name, (names.RESPONSE_MODEL, "llm.response.model")),
    Field("request_id", coercion.name, (names.REQUEST_ID, names.RESPONSE_ID)),
    Field(
        "user_id",
        coercion.name,
        (names.USER_ID, "enduser.id", "gen_ai.user.id", "gen_ai.user", "llm.user", "litellm.end_user.id"),
    ),
    Field("session_id", coercion.name, (names.CONVERSATION, names.SESSION_ID, "gen_ai.session.id")),
    Field(
        "streamed",
        coercion.flag,
        (names.REQUEST_STREAM, "gen_ai.is_streaming", "llm.is_streaming", "litellm.request.streaming"),
    ),
    Field(
        "input_tokens",
        coercion.count,
        (names.INPUT_TOKENS, names.PROMPT_TOKENS_LEGACY, "llm.usage.prompt_tokens"),
    ),
    Field(
        "output_tokens",
        coercion.count,
        (names.OUTPUT_TOKENS, names.COMPLETION_TOKENS_LEGACY, "llm.usage.completion_tokens"),
    ),
    Field(
        "cached_input_tokens",
        coercion.count,
        (
            names.CACHE_READ_TOKENS,
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
            "gen_ai.usage.input_tokens_details.cached_tokens",
            "gen_ai.usage.cache_read_tokens",
            "gen_ai.usage.input_cached_tokens",
        ),
    ),
    Field(
        "cache_write_tokens",
        coercion.count,
        (
            names.CACHE_WRITE_TOKENS,
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write_input_tokens",
            "gen_ai.usage.cache_write_tokens",
            "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
            "gen_ai.usage.input_cache_creation",
        ),
    ),
    Field(
        "reasoning_tokens",
        coercion.count,
        (
            names.REASONING_TOKENS,
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
            "llm.usage.reasoning_tokens",
        ),
    ),
    Field(
        "finish_reason",
        coercion.reason,
        (
            names.FINISH_REASONS,
            "gen_ai.response.finish_reason",
            "llm.response.finish_reason",
            "llm.response.stop_reason",
            "gen_ai.completion.0.finish_reason",
        ),
    ),
    Field("error_type", coercion.name, (names.ERROR_TYPE,)),
    Field(
        "cost", coercion.real, ("gen_ai.usage.cost", "gen_ai.usage.cost_usd", "gen_ai.cost.total", "litellm.cost.total")
    ),
)

PHASES = (
    Field("queue_s", coercion.seconds, (names.QUEUE_S, names.LATENCY_QUEUE, "gen_ai.latency.time_in_scheduler")),
    Field("prefill_s", coercion.seconds, (names.PREFILL_S, names.LATENCY_PREFILL)),
    Field("decode_s", coercion.seconds, (names.DECODE_S, names.LATENCY_DECODE)),
    Field("e2e_s", coercion.seconds, (names.LATENCY_E2E,)),
)

# time to first token, by what measured it; read by ``collector.rules``, which knows when it may be one
ENGINE_TTFT = (names.LATENCY_TTFT, names.TIME_TO_FIRST_CHUNK)
CALLER_TTFT = (names.TIME_TO_FIRST_CHUNK, names.LATENCY_TTFT, "gen_ai.server.time_to_first_token", "gen_ai.server.ttft")
