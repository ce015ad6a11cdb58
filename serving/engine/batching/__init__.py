"""Registry of batching policies: one module, one ``Policy``; a frozen snapshot in, a plan out."""
