"""Prompts and completions in attributes: which they are, so that they are not stored unless asked for (DESIGN §11).

Sources: GenAI conventions (opt-in attributes), opentelemetry-semantic-conventions-ai 0.5.1, OpenInference 0.1.42,
litellm 1.109 (raw requests).
"""

from functools import lru_cache

from collector.normalising.values import Attributes

NAMES = frozenset(
    {
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"),
        *("gen_ai.prompt", "gen_ai.completion", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
        *("gen_ai.event.content", "llm.prompts", "llm.completions", "input.value", "output.value"),
        *("traceloop.entity.input", "traceloop.entity.output"),
    }
)
PREFIXES = (
    *("gen_ai.prompt.", "gen_ai.completion.", "llm.prompts.", "llm.completions."),
    *("llm.input_messages.", "llm.output_messages.", "llm.prompt_template.variables", "llm.choices."),
)
# LiteLLM's raw request and response, as ``llm.{provider}.{field of the vendor's API}``
RAW_FIELDS = (
    *(".messages", ".prompt", ".input", ".system", ".contents", ".choices", ".content", ".output", ".candidates"),
    ".stringified_raw_response",
)
HARMLESS = (".role", ".finish_reason", "gen_ai.prompt.name", "gen_ai.prompt.version")


KNOWN_LENGTH = 256  # longer names are rare, and remembering them would fill memory


def without(attributes: Attributes) -> Attributes:
    """``attributes`` without those that hold what users and models said."""
    held = [key for key in attributes if (_known if len(key) <= KNOWN_LENGTH else is_content)(key)]
    return {key: item for key, item in attributes.items() if key not in held} if held else attributes


def is_content(key: str) -> bool:
    """Whether the attribute ``key`` holds text of a prompt or a completion."""
    if key.startswith("llm.") and key.endswith(RAW_FIELDS):
        return True
    return key in NAMES or (key.startswith(PREFIXES) and not key.endswith(HARMLESS))


_known = lru_cache(maxsize=4_096)(is_content)
