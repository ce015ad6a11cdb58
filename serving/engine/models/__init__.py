"""Registry of model architectures: ``llama.py`` serves ``LlamaForCausalLM``; each module has a class ``Model``."""
