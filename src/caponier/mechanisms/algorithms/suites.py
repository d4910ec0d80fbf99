"""A suite: one algorithm of each type, as a negotiation ends (RFC 7296 section 3.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, ProtocolId, TransformType
from caponier.doi.keywords import keyword_for

AdditionalKeyExchanges = tuple[tuple[TransformType, KeyExchangeId], ...]


@dataclass(frozen=True, slots=True)
class IkeSuite:
    """The algorithms of an IKE SA.

    Attributes:
        encryption: the cipher.
        key_length: its key length in bits, None where it is fixed.
        integrity: None for an AEAD.
        prf: the pseudorandom function.
        key_exchange: the group.
        additional: further key exchanges, with the transform type of each, in order (RFC 9370).
    """

    encryption: EncryptionId
    key_length: int | None
    integrity: IntegrityId | None
    prf: PrfId
    key_exchange: KeyExchangeId
    additional: AdditionalKeyExchanges = ()

    @property
    def additional_methods(self) -> tuple[KeyExchangeId, ...]:
        """The further key exchanges, in order."""
        return tuple(method for _, method in self.additional)

    @property
    def text(self) -> str:
        """In the configuration's spelling: ``aes256gcm16-prfsha384-x25519-ke1_mlkem768``."""
        words = [keyword_for(TransformType.ENCRYPTION, self.encryption, self.key_length)]
        if self.integrity is not None:
            words.append(keyword_for(TransformType.INTEGRITY, self.integrity, None))
        words.append(keyword_for(TransformType.PRF, self.prf, None))
        words.append(keyword_for(TransformType.KEY_EXCHANGE, self.key_exchange, None))
        words += [keyword_for(kind, method, None) for kind, method in self.additional]
        return "-".join(words)


@dataclass(frozen=True, slots=True)
class ChildSuite:
    """The algorithms of a Child SA.

    Attributes:
        protocol: ESP or AH.
        encryption: the cipher; None for AH.
        key_length: its key length in bits, None where it is fixed.
        integrity: None for an AEAD.
        key_exchange: the group of a key exchange of its own; None without one.
        additional: further key exchanges, with the transform type of each, in order (RFC 9370).
        esn: whether sequence numbers have 64 bits (RFC 4303 section 2.2.1).
    """

    protocol: ProtocolId
    encryption: EncryptionId | None
    key_length: int | None
    integrity: IntegrityId | None
    key_exchange: KeyExchangeId | None
    esn: bool
    additional: AdditionalKeyExchanges = ()

    @property
    def additional_methods(self) -> tuple[KeyExchangeId, ...]:
        """The further key exchanges, in order."""
        return tuple(method for _, method in self.additional)

    @property
    def text(self) -> str:
        """In the configuration's spelling: ``aes256gcm16``, ``aes128-sha256-ecp256-esn``, for AH ``sha256``."""
        words = []
        if self.encryption is not None:
            words.append(keyword_for(TransformType.ENCRYPTION, self.encryption, self.key_length))
        if self.integrity is not None:
            words.append(keyword_for(TransformType.INTEGRITY, self.integrity, None))
        if self.key_exchange is not None:
            words.append(keyword_for(TransformType.KEY_EXCHANGE, self.key_exchange, None))
        words += [keyword_for(kind, method, None) for kind, method in self.additional]
        if self.esn:
            words.append("esn")
        return "-".join(words)
