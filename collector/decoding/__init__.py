"""OTLP bytes as rows: both encodings, three signals, what can be salvaged and what is refused."""
