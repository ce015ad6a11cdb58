"""Routing policies: one module is one pure policy; its class ``Policy`` is a frozen dataclass of settings."""
