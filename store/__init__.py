"""The store: one DuckDB file with one owner, and readers anywhere. Nothing outside this package imports duckdb.

``store.writing.Store`` writes, ``store.reading.open`` reads, ``store.schemas`` says what a relation looks like.
"""
