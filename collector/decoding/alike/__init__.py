"""Spans that are built alike are decoded together: their bytes as one matrix, a dialect asked once for all of them."""
