"""Proposals of an SA payload and the choice among them (RFC 7296 sections 2.7 and 3.3).

The public face of this part: what a proposal is (:mod:`.transforms`), how people write it (:mod:`.spelling`), how the
two sides agree on one (:mod:`.selection`), what of it is weak (:mod:`.weakness`), and the suite of algorithms that comes of it (:mod:`.suites`).
"""

from __future__ import annotations

from caponier.mechanisms.negotiation.selection import accept, select
from caponier.mechanisms.negotiation.spelling import (
    DEFAULT_AH_PROPOSALS,
    DEFAULT_ESP_PROPOSALS,
    DEFAULT_IKE_PROPOSALS,
    format_proposal,
    format_proposals,
    parse_ah_proposal,
    parse_esp_proposal,
    parse_ike_proposal,
)
from caponier.mechanisms.negotiation.suites import child_suite, ike_suite
from caponier.mechanisms.negotiation.transforms import (
    Attribute,
    Proposal,
    Transform,
    is_quantum_safe,
    without_additional,
    without_key_exchange,
)
from caponier.mechanisms.negotiation.weakness import weak_algorithms, weak_in

__all__ = [
    "Attribute",
    "Transform",
    "Proposal",
    "parse_ike_proposal",
    "parse_esp_proposal",
    "parse_ah_proposal",
    "format_proposal",
    "format_proposals",
    "weak_algorithms",
    "weak_in",
    "DEFAULT_IKE_PROPOSALS",
    "DEFAULT_ESP_PROPOSALS",
    "DEFAULT_AH_PROPOSALS",
    "without_key_exchange",
    "without_additional",
    "is_quantum_safe",
    "select",
    "accept",
    "ike_suite",
    "child_suite",
]
