"""Serving: a gateway in front of OpenAI-compatible backends, and an engine that is one of them."""
