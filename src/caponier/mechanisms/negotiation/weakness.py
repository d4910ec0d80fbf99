"""What the RFCs advise against (RFC 8221, RFC 8247, RFC 9395): in a proposal, and in what two sides agreed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from caponier.doi.ikev2 import ProtocolId
from caponier.doi.keywords import TRANSFORM_IDS
from caponier.doi.open_enum import OpenEnum
from caponier.mechanisms.negotiation.spelling import (
    keyword_of,
    parse_ah_proposal,
    parse_esp_proposal,
    parse_ike_proposal,
)
from caponier.mechanisms.negotiation.transforms import KEY_EXCHANGES, Proposal, Transform

_READERS: Mapping[int, Callable[[str], Proposal]] = MappingProxyType(
    {ProtocolId.IKE: parse_ike_proposal, ProtocolId.ESP: parse_esp_proposal, ProtocolId.AH: parse_ah_proposal}
)


@lru_cache(maxsize=256)  # a gateway has many SAs and few suites
def weak_in(protocol: ProtocolId, suite: str) -> tuple[str, ...]:
    """The keywords of a suite that are advised against, each once.

    Args:
        protocol: whose suite it is.
        suite: as the suites' ``text`` has it; empty while nothing is agreed on.
    """
    if not suite:
        return ()
    return tuple(dict.fromkeys(keyword for keyword, _ in weak_algorithms(_READERS[protocol](suite))))


def weak_algorithms(proposal: Proposal) -> tuple[tuple[str, str], ...]:
    """What of a proposal is advised against.

    Returns:
        Pairs of the keyword and the guidance: ``("modp1024", "SHOULD NOT (RFC 8247)")``. Everything that RFC 8247
        (for IKE, and for all key exchanges), RFC 8221 (for ESP and AH) or RFC 9395 calls MUST NOT or SHOULD NOT. For IKE
        the word of RFC 8221 counts too, where RFC 8247 says nothing against: 3DES, whose blocks of 64 bits are as short there.
    """
    found = ((keyword_of(transform), _warning(proposal.protocol, transform)) for transform in proposal.transforms)
    return tuple((keyword, warning) for keyword, warning in found if warning is not None)


def _warning(protocol: ProtocolId, transform: Transform) -> str | None:
    registry = TRANSFORM_IDS.get(transform.type)
    if registry is None:
        return None
    member = registry(transform.id)
    by_ike = protocol == ProtocolId.IKE or transform.type in KEY_EXCHANGES
    return _against(member, "RFC 8247", member.ike if by_ike else None) or _against(member, "RFC 8221", member.esp)


def _against(member: OpenEnum, source: str, word: str | None) -> str | None:
    if word is None or not word.startswith(("MUST NOT", "SHOULD NOT")):
        return None
    return f"{word} ({'RFC 9395' if 'RFC 9395' in member.source else source})"
