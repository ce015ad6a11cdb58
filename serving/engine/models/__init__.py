"""Registry of model architectures: ``qwen3.py`` serves ``Qwen3ForCausalLM``; each has a class ``Model``."""
