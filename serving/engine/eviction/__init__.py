"""Registry of eviction policies of the prefix cache: one module, one ``Policy``; the lowest rank is dropped first."""
