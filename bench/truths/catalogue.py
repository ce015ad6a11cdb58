"""Machines to be wrong about: the ledger's own form, and others."""

from dataclasses import replace
from typing import Final

from analytics.ledger.simulation import Meters, Truth

H100_8B: Final = Truth(max_running=512)
SMALL: Final = Truth(0.05, 0.001, 0.0, 0.004, 0.0, 20.0, 0.004, 0.0003, 2e-5, 512, 16)  # the demo's engines
BOARD: Final = Meters(noise=0.05, refresh_s=0.1, sampled=0.25, sample_offset_s=0.013)
"""5 % noise on every 100 ms refresh, 25 of 100 ms looked at (arXiv 2312.02741); the bench draws the clock skew."""

FOREIGN: Final = {
    "power cap": replace(H100_8B, cap_w=450.0),
    "quadratic prefill": replace(H100_8B, a_px=3e-6),
    "mixture of experts": replace(H100_8B, b=1.0, expert_j=4.0, routed=0.06),  # 4 J of experts, 6 % a position
    "thermal drift": replace(H100_8B, drift=0.12),
}
NO_SPANS: Final = 0.25
"""The share of requests whose spans are missing in the truth `requests without spans`."""
