"""Mistral (arXiv 2310.06825): Llama's layers; its sliding window is refused where a context could outgrow it."""

from serving.engine.models import llama


class Model(llama.Model):
    """``MistralForCausalLM``."""
