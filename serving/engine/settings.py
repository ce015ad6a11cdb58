"""The settings of one engine process: the section ``[serving.engines.<name>]``."""

from dataclasses import dataclass, field
from pathlib import Path

DTYPES = ("auto", "float32", "bfloat16", "float16")
CONFIDENCES = ("margin", "top_probability")


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """Settings ``[serving.engines.NAME.early_exit]``."""

    threshold: float | None = None
    """Confidence at which a decoded token leaves; absent: only requests that ask for it. Above 1 nothing leaves."""
    confidence: str = "top_probability"
    """Or margin: the lead over the second token."""

    def __post_init__(self) -> None:
        if self.threshold is not None and self.threshold < 0:
            raise ValueError(f"early_exit threshold must be 0 or more, got {self.threshold}")
        if self.confidence not in CONFIDENCES:
            raise ValueError(f"unknown confidence {self.confidence!r}: choose from {', '.join(CONFIDENCES)}")


@dataclass(frozen=True, slots=True)
class SemanticReuse:
    """Settings ``[serving.engines.NAME.semantic_reuse]``."""

    recompute: float | None = None
    """Share of each run of reused tokens that is computed again, its first ones; absent: nothing is reused."""
    shortest: int = 32
    """Fewer tokens in a row than this are not reused."""
    verify_every: int = 16
    """One in so many prompts that could reuse is computed both ways and compared."""
    bound: float = 0.05
    """Nothing is reused while the likeliest next token differs in more than this share of the comparisons."""

    def __post_init__(self) -> None:
        for key, value in (("recompute", self.recompute or 0.0), ("bound", self.bound)):
            if not 0 <= value <= 1:
                raise ValueError(f"semantic_reuse {key} must be from 0 to 1, got {value}")
        for key in ("shortest", "verify_every"):
            if getattr(self, key) < 1:
                raise ValueError(f"semantic_reuse {key} must be at least 1, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Everything that one engine can be told; only ``weights`` has no default.

    Raises ``ValueError`` naming the key for a value that cannot work.
    """

    weights: Path
    """Hugging Face folder with config.json, *.safetensors and tokenizer.json."""
    served_model: str | None = None
    """Name the API answers to; the engine's name when absent."""
    host: str = "127.0.0.1"
    port: int = 8101
    """0 takes a free port; the ready line says which."""
    batching: str = "continuous"
    batching_options: dict[str, float] = field(default_factory=dict)
    """What the policy can be told, such as dynamic's size and timeout_s."""
    itl_target_s: float | None = None
    """Seconds between two tokens that steps are kept to, by policies that heed it (token_aware)."""
    max_num_seqs: int = 32
    """Requests that hold a KV slot at the same time."""
    max_model_len: int | None = None
    """Prompt plus output, in tokens; the checkpoint's own limit when absent."""
    max_num_batched_tokens: int = 512
    """Positions computed in one step; longer prompts are prefilled in chunks."""
    max_kv_tokens: int | None = None
    """Positions that admitted requests may reserve together; every slot's full length when absent."""
    max_cached_tokens: int = 16_384
    """Positions of finished requests kept for prompts that begin alike; 0 keeps none."""
    eviction: str = "prefix_tree"
    """Which of them go when room is needed."""
    drafting: str | None = None
    """Speculative decoding: prompt_lookup, draft_model or self_speculative; absent drafts nothing."""
    draft_length: int = 8
    """Most tokens proposed for a request in one step."""
    draft_adapts: bool = True
    """Measure which length up to that pays at each load, none included; false always proposes as many as it can."""
    draft_weights: Path | None = None
    """For draft_model: the folder of a smaller model with the same tokenizer."""
    draft_layers: int = 0
    """For self_speculative: layers that draft."""
    early_exit: EarlyExit = field(default_factory=EarlyExit)
    """Leave out the later layers of tokens that an exit head is sure of."""
    semantic_reuse: SemanticReuse = field(default_factory=SemanticReuse)
    """Take states of alike chunks from other places of earlier prompts."""
    max_queued_requests: int = 512
    """Waiting requests beyond this are answered 503 with Retry-After."""
    dtype: str = "auto"
    """auto: float32 on CPU, bfloat16 on CUDA."""
    quantisation: str | None = None
    """int8: matrices in eight bits, on CPU; absent keeps them as they are."""
    device: str = "auto"
    """auto: cuda when there is one, else cpu."""
    threads: int = 1
    """torch's intra-op threads on CPU."""
    otlp_endpoint: str | None = None
    """Collector address (http://host:port); absent sends nothing."""
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        for key in ("max_num_seqs", "max_num_batched_tokens", "draft_length", "max_queued_requests", "threads"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")
        if self.itl_target_s is not None and self.itl_target_s <= 0:
            raise ValueError(f"itl_target_s must be more than 0, got {self.itl_target_s}")
        if self.max_cached_tokens < 0:
            raise ValueError(f"max_cached_tokens must be 0 or more, got {self.max_cached_tokens}")
        if self.semantic_reuse.recompute is not None and not self.max_cached_tokens:
            raise ValueError("semantic_reuse takes states from the prefix cache: set max_cached_tokens above 0")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least max_num_seqs "
                f"({self.max_num_seqs}), or a full batch could not decode in one step"
            )
        if self.dtype not in DTYPES:
            raise ValueError(f"unknown dtype {self.dtype!r}: choose from {', '.join(DTYPES)}")
        if self.quantisation not in (None, "int8"):
            raise ValueError(f"unknown quantisation {self.quantisation!r}: choose int8, or leave it out")
