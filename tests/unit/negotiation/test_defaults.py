"""The default proposals: all of it is implemented."""

from __future__ import annotations

import pytest

from caponier.doi.ikev2 import KeyExchangeId, TransformType
from caponier.mechanisms.algorithms.catalog import is_implemented
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_ESP_PROPOSALS,
    DEFAULT_IKE_PROPOSALS,
    Proposal,
    Transform,
    format_proposal,
)

#: NONE and the numbering of packets are no algorithms.
NO_ALGORITHMS = (TransformType.SEQUENCE_NUMBERS, Transform(TransformType.KEY_EXCHANGE, KeyExchangeId.NONE))


@pytest.mark.parametrize("proposal", [*DEFAULT_IKE_PROPOSALS, *DEFAULT_ESP_PROPOSALS], ids=format_proposal)
def test_everything_that_we_offer_by_default_is_implemented(proposal: Proposal) -> None:
    algorithms = [item for item in proposal.transforms if item not in NO_ALGORITHMS and item.type not in NO_ALGORITHMS]
    assert [item for item in algorithms if not is_implemented(item.type, item.id, item.key_length)] == []
