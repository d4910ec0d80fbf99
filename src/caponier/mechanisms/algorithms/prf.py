"""Pseudorandom functions (transform type 2): HMAC-SHA2 (RFC 4868 section 2.1.2)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from caponier.doi.ikev2 import PrfId
from caponier.octets import Secret


@dataclass(frozen=True, slots=True)
class PrfAlgorithm:
    """A pseudorandom function.

    Attributes:
        id: its transform id.
        hash: the hash function's name.
        key_length: its preferred key length, octets (RFC 7296 section 2.13).
        output_length: octets.
    """

    id: PrfId
    hash: str
    key_length: int
    output_length: int

    def compute(self, key: Secret | bytes, data: bytes) -> bytes:
        """``prf(key, data)``; HMAC takes keys of any length."""
        return hmac.digest(key.expose() if isinstance(key, Secret) else key, data, self.hash)


HMAC_SHA2_256 = PrfAlgorithm(PrfId.PRF_HMAC_SHA2_256, "sha256", 32, 32)
HMAC_SHA2_384 = PrfAlgorithm(PrfId.PRF_HMAC_SHA2_384, "sha384", 48, 48)
HMAC_SHA2_512 = PrfAlgorithm(PrfId.PRF_HMAC_SHA2_512, "sha512", 64, 64)
