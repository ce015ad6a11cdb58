"""Who is calling: the tenant comes from the API key and from nothing else the caller says."""

import hashlib
import hmac
from collections.abc import Mapping

DEFAULT_TENANT = "default"


class Tenants:
    """API keys and their tenants. Keeps digests only, so that no key can be printed by accident."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._tenants = [(_digest(key.encode()), tenant) for key, tenant in keys.items()]

    @property
    def needs_key(self) -> bool:
        """Whether callers must present a key."""
        return bool(self._tenants)

    def of(self, authorization: bytes | None) -> str | None:
        """The tenant of an ``Authorization`` header, or None when its key is missing or wrong.

        Compares with every key in constant time, so that the time taken says nothing about any of them.
        """
        if not self._tenants:
            return DEFAULT_TENANT
        scheme, _, key = (authorization or b"").partition(b" ")
        presented, found = _digest(key.strip()), None
        for digest, tenant in self._tenants:
            if hmac.compare_digest(digest, presented):
                found = tenant
        return found if scheme.lower() == b"bearer" else None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
