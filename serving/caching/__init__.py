"""Response caches: one module is one choice; its class ``Cache`` decides what is the same question."""
