"""The five components of an engine's work, in the order of every array here.

Energy of an interval = b·steps + a_p·prefill + a_px·prefill context + a_d·decode + a_c·decode context.
"""

from typing import Final

from conventions import instruments

STEPS, PREFILL, PREFILL_CONTEXT, DECODE, DECODE_CONTEXT = range(5)
NUM_COMPONENTS: Final = 5

CONSTANTS: Final = ("b", "a_p", "a_px", "a_d", "a_c")  # columns of step_models
PUBLISHED: Final = ("steps", "prefill", "context", "decode", "context")  # attempt_energy.component

COUNTERS: Final = (
    instruments.ENGINE_STEPS.name,
    instruments.ENGINE_PREFILL_TOKENS.name,
    instruments.ENGINE_PREFILL_CONTEXT.name,
    instruments.ENGINE_DECODE_TOKENS.name,
    instruments.ENGINE_DECODE_CONTEXT.name,
)
RUNNING_STEPS: Final = instruments.ENGINE_RUNNING_STEPS.name
GENERATED: Final = instruments.ENGINE_GENERATED_TOKENS.name
