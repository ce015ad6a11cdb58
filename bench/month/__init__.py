"""A month of a serving fleet as settled rows, made by SQL: the store that query benchmarks read."""
