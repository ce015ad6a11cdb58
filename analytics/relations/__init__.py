"""Spans settled into requests and attempts: each call counted once, however many layers saw it."""
