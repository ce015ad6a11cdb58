"""Who is charged for idle joules: a policy of ``analytics/idle``, named, never implied.

A policy is one ``.sql`` file: common table expressions that read ``parts`` and end with ``charged``, the same rows with
their charges, some of the idle ones handed to groups (``owned``). Under every policy the rows sum to the same.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from conventions import plugins

_PACKAGE: Final = "analytics.idle"


@dataclass(frozen=True, slots=True)
class Idling:
    """The section ``[idle]``: a policy, and for ``reserved`` each tenant's part of the capacity, together at most 1."""

    policy: str = "separate"
    reservations: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shares = list(self.reservations.values())
        if any(share < 0 for share in shares) or sum(shares) > 1 + 1e-9:
            raise ValueError(
                f"reservations are parts of the capacity, together at most 1; got {dict(self.reservations)}"
            )
        if (self.policy == "reserved") != bool(shares):
            raise ValueError("reservations and policy 'reserved' go together: set both, or neither")

    def __hash__(self) -> int:
        return hash((self.policy, *sorted(self.reservations.items())))


SEPARATE: Final = Idling()


def names() -> list[str]:
    """Sorted names of all policies."""
    return plugins.names(_PACKAGE, ".sql")


def fragment(policy: str) -> str:
    """The SQL of ``policy``. Raises ``PluginError`` naming the choices."""
    return plugins.text(_PACKAGE, policy, ".sql", "idle policy")


def parameters(idling: Idling) -> dict[str, Any]:
    """What the SQL of the policy is run with, beside a metric's own parameters."""
    if "$reserved_tenants" not in fragment(idling.policy):
        return {}
    return {
        "reserved_tenants": list(idling.reservations),
        "reserved_shares": [float(share) for share in idling.reservations.values()],
    }
