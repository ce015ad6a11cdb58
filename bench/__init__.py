"""One page per question: ``python -m bench.NAME [--quick] [--json PATH]``. Ratios within one run."""
