"""The energy ledger: cumulative joules split over the requests that ran, nothing lost and nothing invented.

``attribution.attribute`` is the whole of it; formulas and limits are in ``docs/ledger.md``.
"""
