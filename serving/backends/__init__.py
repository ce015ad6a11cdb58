"""Backends of the gateway: what is known about each, whether it is reachable, and how a call is sent to it."""
