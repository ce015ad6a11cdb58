"""Energy meters as scripts of their own interpreters: each watches boards for given windows and prints what it claims.

Called as ``python SCRIPT EPOCH '[[board, start_s, end_s], …]'``, times in seconds after EPOCH on the monotonic clock.
Prints ``{"board": [[start_s, end_s, joules], …] or "why there is none"}``: the spans that it gives energy for, with the
times at which it read its counters.
"""
