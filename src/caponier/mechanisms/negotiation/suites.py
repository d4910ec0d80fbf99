"""From a chosen proposal to a suite of algorithms (RFC 7296 section 3.3: one transform of each type is left)."""

from __future__ import annotations

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TransformType,
)
from caponier.errors import MisuseError
from caponier.mechanisms.algorithms.suites import AdditionalKeyExchanges, ChildSuite, IkeSuite
from caponier.mechanisms.negotiation.spelling import format_proposal
from caponier.mechanisms.negotiation.transforms import ADDITIONAL_KEY_EXCHANGES, NONE, Proposal, Transform


def ike_suite(proposal: Proposal) -> IkeSuite:
    """The suite of an IKE SA.

    Args:
        proposal: what :func:`~.selection.select` or :func:`~.selection.accept` returned.

    Raises:
        MisuseError: it is not such a proposal.
    """
    _require(proposal, ProtocolId.IKE)
    encryption, integrity = _one(proposal, TransformType.ENCRYPTION), _some(proposal, TransformType.INTEGRITY)
    return IkeSuite(
        encryption=EncryptionId(encryption.id),
        key_length=encryption.key_length,
        integrity=None if integrity is None else IntegrityId(integrity.id),
        prf=PrfId(_one(proposal, TransformType.PRF).id),
        key_exchange=KeyExchangeId(_one(proposal, TransformType.KEY_EXCHANGE).id),
        additional=_additional(proposal),
    )


def child_suite(proposal: Proposal) -> ChildSuite:
    """The suite of a Child SA of ESP or AH.

    Args:
        proposal: what :func:`~.selection.select` or :func:`~.selection.accept` returned.

    Raises:
        MisuseError: it is not such a proposal.
    """
    _require(proposal, ProtocolId.ESP, ProtocolId.AH)
    is_ah = proposal.protocol == ProtocolId.AH
    encryption = None if is_ah else _one(proposal, TransformType.ENCRYPTION)
    integrity = _some(proposal, TransformType.INTEGRITY)
    key_exchange = _some(proposal, TransformType.KEY_EXCHANGE)
    return ChildSuite(
        protocol=proposal.protocol,
        encryption=None if encryption is None else EncryptionId(encryption.id),
        key_length=None if encryption is None else encryption.key_length,
        integrity=None if integrity is None else IntegrityId(integrity.id),
        key_exchange=None if key_exchange is None else KeyExchangeId(key_exchange.id),
        esn=_one(proposal, TransformType.SEQUENCE_NUMBERS).id == SequenceNumbersId.PARTIAL_64,
        additional=_additional(proposal),
    )


def _additional(proposal: Proposal) -> AdditionalKeyExchanges:
    """The additional key exchanges but for those that are NONE, in their order (RFC 9370 section 2.2.2)."""
    chosen = ((kind, _some(proposal, kind)) for kind in ADDITIONAL_KEY_EXCHANGES)
    return tuple((kind, KeyExchangeId(transform.id)) for kind, transform in chosen if transform is not None)


def _require(proposal: Proposal, *protocols: ProtocolId) -> None:
    if proposal.protocol not in protocols:
        wanted = " or ".join(map(str, protocols))
        raise MisuseError(f"a proposal for {proposal.protocol} where one for {wanted} belongs")


def _one(proposal: Proposal, kind: TransformType) -> Transform:
    transforms = proposal.of(kind)
    if len(transforms) != 1:
        raise MisuseError(f"nothing is chosen yet: {format_proposal(proposal)} has {len(transforms)} of {kind}")
    return transforms[0]


def _some(proposal: Proposal, kind: TransformType) -> Transform | None:
    """The transform of an optional type; None where it is left out or NONE."""
    if not proposal.of(kind):
        return None
    transform = _one(proposal, kind)
    return None if transform.id == NONE else transform
