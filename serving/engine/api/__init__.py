"""The OpenAI API over an engine: bodies in, answers and events out. Knows no torch."""
