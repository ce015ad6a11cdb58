"""Where carbon intensity comes from: one module per source, each with its ``Provider``."""
