"""Integrity algorithms (transform type 3): HMAC-SHA2 cut to half its length (RFC 4868)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from caponier.doi.ikev2 import IntegrityId
from caponier.octets import Secret


@dataclass(frozen=True, slots=True)
class IntegrityAlgorithm:
    """A keyed checksum.

    Attributes:
        id: its transform id.
        hash: the hash function's name.
        key_length: octets; RFC 4868 section 2.1.1 fixes it to the hash's output.
        icv_length: octets that are sent.
    """

    id: IntegrityId
    hash: str
    key_length: int
    icv_length: int

    def compute(self, key: Secret, octets: bytes) -> bytes:
        """The ICV, ``icv_length`` octets; compare it in constant time."""
        return hmac.digest(key.expose(), octets, self.hash)[: self.icv_length]


HMAC_SHA2_256_128 = IntegrityAlgorithm(IntegrityId.AUTH_HMAC_SHA2_256_128, "sha256", 32, 16)
HMAC_SHA2_384_192 = IntegrityAlgorithm(IntegrityId.AUTH_HMAC_SHA2_384_192, "sha384", 48, 24)
HMAC_SHA2_512_256 = IntegrityAlgorithm(IntegrityId.AUTH_HMAC_SHA2_512_256, "sha512", 64, 32)
