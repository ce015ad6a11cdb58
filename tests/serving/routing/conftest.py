"""Timing is not what these laws are about, and the machines are shared."""

import hypothesis

hypothesis.settings.register_profile("laws", max_examples=50, deadline=None)
hypothesis.settings.load_profile("laws")
