"""Integrity algorithms (transform type 3): HMAC (RFC 2403, RFC 2404, RFC 4868) and AES-128 (RFC 3566, RFC 4494), cut short."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from caponier.doi.ikev2 import IntegrityId
from caponier.mechanisms.algorithms.aes_mac import KEY_LENGTH, aes_cmac, aes_xcbc
from caponier.octets import Secret


class IntegrityAlgorithm(Protocol):
    """A keyed checksum."""

    @property
    def id(self) -> IntegrityId: ...
    @property
    def key_length(self) -> int:
        """Octets; each algorithm fixes it."""

    @property
    def icv_length(self) -> int:
        """Octets that are sent."""

    def compute(self, key: Secret, octets: bytes) -> bytes:
        """The ICV, ``icv_length`` octets; compare it in constant time."""


@dataclass(frozen=True, slots=True)
class HmacIntegrity:
    """HMAC over a hash function.

    Attributes:
        id: its transform id.
        hash: the hash function's name.
        key_length: octets, those of the hash (RFC 2403 section 3, RFC 2404 section 3, RFC 4868 section 2.1.1).
        icv_length: octets.
    """

    id: IntegrityId
    hash: str
    key_length: int
    icv_length: int

    def compute(self, key: Secret, octets: bytes) -> bytes:
        return hmac.digest(key.expose(), octets, self.hash)[: self.icv_length]


@dataclass(frozen=True, slots=True)
class AesIntegrity:
    """A MAC of AES-128, cut to 96 bits (RFC 3566 section 4.3, RFC 4494 section 2).

    Attributes:
        id: its transform id.
        mac: takes a key of 16 octets.
    """

    id: IntegrityId
    mac: Callable[[bytes, bytes], bytes]
    key_length = KEY_LENGTH
    icv_length = 12

    def compute(self, key: Secret, octets: bytes) -> bytes:
        return self.mac(key.expose(), octets)[: self.icv_length]


HMAC_MD5_96 = HmacIntegrity(IntegrityId.AUTH_HMAC_MD5_96, "md5", 16, 12)
HMAC_SHA1_96 = HmacIntegrity(IntegrityId.AUTH_HMAC_SHA1_96, "sha1", 20, 12)
HMAC_SHA2_256_128 = HmacIntegrity(IntegrityId.AUTH_HMAC_SHA2_256_128, "sha256", 32, 16)
HMAC_SHA2_384_192 = HmacIntegrity(IntegrityId.AUTH_HMAC_SHA2_384_192, "sha384", 48, 24)
HMAC_SHA2_512_256 = HmacIntegrity(IntegrityId.AUTH_HMAC_SHA2_512_256, "sha512", 64, 32)
AES_XCBC_96 = AesIntegrity(IntegrityId.AUTH_AES_XCBC_96, aes_xcbc)
AES_CMAC_96 = AesIntegrity(IntegrityId.AUTH_AES_CMAC_96, aes_cmac)
