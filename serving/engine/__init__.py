"""The reference engine: Llama-family weights, iteration-level batching, a KV cache, the OpenAI API.

One thread owns torch and turns ``plan → run → commit``; the event loop only speaks HTTP. ``__main__`` builds both.
"""
