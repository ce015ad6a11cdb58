"""Qwen3, the dense models (arXiv 2505.09388): Llama's layers with an RMSNorm over each query and key head."""

from serving.engine.models import llama


class Model(llama.Model):
    """``Qwen3ForCausalLM``."""
