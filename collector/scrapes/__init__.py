"""How to read a Prometheus page: one module per exporter, each with its ``READINGS``."""
