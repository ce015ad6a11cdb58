"""Registry of drafters for speculative decoding: one module, one ``Drafter``; see ``draft.py`` for the role."""
