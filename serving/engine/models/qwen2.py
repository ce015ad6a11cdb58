"""Qwen2 and Qwen2.5 (arXiv 2407.10671): Llama's layers with biases on query, key and value."""

from serving.engine.models import llama


class Model(llama.Model):
    """``Qwen2ForCausalLM``."""
