"""From settings to an engine: weights, caches, policies, who drafts, put together."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from conventions import plugins
from conventions.errors import ModelNotSupported, SettingsError
from serving.engine import checkpoint, draft, model
from serving.engine.api.intake import Intake
from serving.engine.checkpoint import EXITS_FILE
from serving.engine.draft import Drafter, Target
from serving.engine.draft_length import DraftLength
from serving.engine.exits import CONFIDENCES
from serving.engine.kv import KvCache, Slots
from serving.engine.loop import Deliver, Engine
from serving.engine.model import Model
from serving.engine.plan import Policy
from serving.engine.prefix import BLOCK_SIZE, Eviction, PrefixTree
from serving.engine.runner import Runner
from serving.engine.semantic import Semantic
from serving.engine.settings import EngineSettings
from serving.engine.tokenizer import Tokenizer

BATCHING = "serving.engine.batching"
EVICTION = "serving.engine.eviction"


def build(options: EngineSettings, name: str, tokenizer: Tokenizer, deliver: Deliver) -> tuple[Engine, Intake]:
    """The engine of the settings, and the intake that knows its limits.

    Raises ``ModelNotSupported``, ``PluginError`` or ``SettingsError``.
    """
    policy = batching_policy(options.batching, options.batching_options)
    folder = checkpoint.open_folder(options.weights)
    max_model_len = _max_model_len(options, folder)
    prefixes = _prefixes(options)
    llm, kv = _load(options, max_model_len, 0 if prefixes is None else prefixes.num_blocks, options.weights)
    _refuse_exits(options, llm)
    slots = Slots(options.max_num_seqs, options.max_kv_tokens or options.max_num_seqs * max_model_len)
    engine = Engine(
        policy,
        Runner(llm, kv, _drafter(options, llm, kv), CONFIDENCES[options.early_exit.confidence]),
        slots,
        max_batched_tokens=options.max_num_batched_tokens,
        end_ids=folder.end_ids,
        deliver=deliver,
        prefixes=prefixes,
        semantic=_semantic(options, prefixes),
        itl_target_s=options.itl_target_s,
        draft_length=DraftLength(options.draft_length, adapts=options.draft_adapts) if options.drafting else None,
    )
    served, exits = options.served_model or name, options.early_exit.threshold
    limits = (llm.vocab_size, max_model_len, slots.num_positions)
    return engine, Intake(served, tokenizer, *limits, exit_threshold=exits, has_exits=bool(llm.exits))


def batching_policy(name: str, options: Mapping[str, float]) -> Policy:
    """The policy with its options. Raises ``PluginError`` or ``SettingsError`` naming what there is."""
    kind = plugins.load(BATCHING, name, "Policy")
    known = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    for key in options:
        if key not in known:
            raise SettingsError(f"batching_options: {plugins.unknown(f'option of {name}', key, known or ['(none)'])}")
    policy: Policy = kind(**options)
    return policy


def _load(options: EngineSettings, max_model_len: int, num_blocks: int, folder: Path) -> tuple[Model, KvCache]:
    """A model and the memory for its states."""
    device = checkpoint.resolve_device(options.device)
    dtype = checkpoint.resolve_dtype(options.dtype, device)
    llm = model.load(checkpoint.open_folder(folder), max_model_len, dtype, device)
    if options.quantisation is not None:
        llm.quantise()
    return llm, _cache(options, llm, max_model_len, num_blocks, dtype, device)


def _cache(
    options: EngineSettings, llm: Model, max_model_len: int, num_blocks: int, dtype: torch.dtype, device: torch.device
) -> KvCache:
    sizes = (options.max_num_seqs, max_model_len)
    return KvCache(llm.kv_shape, *sizes, dtype, device, num_blocks=num_blocks, block_size=BLOCK_SIZE)


def _refuse_exits(options: EngineSettings, llm: Model) -> None:
    if options.early_exit.threshold is not None and not llm.exits:
        raise ModelNotSupported(
            f"{options.weights}: early_exit needs {EXITS_FILE} beside the weights, with tensors "
            "exits.<layers>.norm.weight; train one or leave early_exit out"
        )


def _prefixes(options: EngineSettings) -> PrefixTree | None:
    eviction: Eviction = plugins.load(EVICTION, options.eviction, "Policy")()
    num_blocks = options.max_cached_tokens // BLOCK_SIZE
    return PrefixTree(num_blocks, eviction) if num_blocks else None


def _semantic(options: EngineSettings, prefixes: PrefixTree | None) -> Semantic | None:
    if prefixes is None or options.semantic_reuse.recompute is None:
        return None
    return Semantic(options.semantic_reuse, prefixes)


def _drafter(options: EngineSettings, llm: Model, kv: KvCache) -> Drafter | None:
    if options.drafting is None:
        return None
    if options.draft_weights is not None and _vocabulary(options.draft_weights) != _vocabulary(options.weights):
        raise SettingsError(f"draft_weights {options.draft_weights}: its tokenizer differs from {options.weights}'s")
    load = functools.partial(_load, options, kv.num_positions, 0)
    target = Target(llm, kv, options.draft_layers, options.draft_weights, load)
    drafter: Drafter = plugins.load(draft.REGISTRY, options.drafting, "Drafter")(target)
    return drafter


def _vocabulary(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SettingsError(f"{folder}: no tokenizer.json; give a Hugging Face model folder")
    return json.loads(path.read_text(encoding="utf-8"))["model"].get("vocab")


def _max_model_len(options: EngineSettings, folder: checkpoint.Checkpoint) -> int:
    limit = int(folder.config.get("max_position_embeddings", 2048))
    if options.max_model_len is not None and not 1 < options.max_model_len <= limit:
        raise SettingsError(f"max_model_len {options.max_model_len}: the checkpoint allows 2 to {limit}")
    return options.max_model_len or limit
