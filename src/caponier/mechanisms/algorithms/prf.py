"""Pseudorandom functions (transform type 2): HMAC (RFC 2104, RFC 4868 section 2.1.2) and AES-128 (RFC 4434, RFC 4615)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from caponier.doi.ikev2 import PrfId
from caponier.mechanisms.algorithms.aes_mac import KEY_LENGTH, MAC_LENGTH, aes_cmac, aes_xcbc
from caponier.octets import Secret


class PrfAlgorithm(Protocol):
    """A pseudorandom function."""

    @property
    def id(self) -> PrfId: ...
    @property
    def key_length(self) -> int:
        """Its preferred key length, octets (RFC 7296 section 2.13)."""

    @property
    def output_length(self) -> int:
        """Octets."""

    def compute(self, key: Secret | bytes, data: bytes) -> bytes:
        """``prf(key, data)``, for keys of any length."""

    def seed_key(self, ni: bytes, nr: bytes) -> bytes:
        """The key that SKEYSEED is made with, of both nonces (RFC 7296 section 2.14)."""


@dataclass(frozen=True, slots=True)
class HmacPrf:
    """HMAC over a hash function, which takes keys of any length as they are.

    Attributes:
        id: its transform id.
        hash: the hash function's name.
        output_length: octets, of the hash and so of the preferred key too (RFC 7296 section 2.13).
    """

    id: PrfId
    hash: str
    output_length: int

    @property
    def key_length(self) -> int:
        return self.output_length

    def compute(self, key: Secret | bytes, data: bytes) -> bytes:
        return hmac.digest(_exposed(key), data, self.hash)

    def seed_key(self, ni: bytes, nr: bytes) -> bytes:
        return ni + nr


@dataclass(frozen=True, slots=True)
class AesPrf:
    """A MAC of AES-128. Keys of other lengths than 16 octets are made to fit, each RFC in its own way.

    "AES-CMAC-PRF-128 is considered to take fixed size (16 octets) keys for generating keying material but it takes variable
    key sizes for authentication" (RFC 4615 section 3).

    Attributes:
        id: its transform id.
        mac: takes a key of 16 octets.
        fit: makes 16 octets of a key of another length.
    """

    id: PrfId
    mac: Callable[[bytes, bytes], bytes]
    fit: Callable[[bytes], bytes]
    key_length = KEY_LENGTH
    output_length = MAC_LENGTH

    def compute(self, key: Secret | bytes, data: bytes) -> bytes:
        octets = _exposed(key)
        return self.mac(octets if len(octets) == KEY_LENGTH else self.fit(octets), data)

    def seed_key(self, ni: bytes, nr: bytes) -> bytes:
        """Of AES-XCBC and AES-CMAC "only the first 64 bits of Ni and the first 64 bits of Nr are used in calculating SKEYSEED"
        (RFC 7296 section 2.14)."""
        return ni[: KEY_LENGTH // 2] + nr[: KEY_LENGTH // 2]


def _exposed(key: Secret | bytes) -> bytes:
    return key.expose() if isinstance(key, Secret) else key


def _fit_xcbc(key: bytes) -> bytes:
    """Short keys get zeros behind them, long ones are digested under a key of zeros (RFC 4434 section 2)."""
    return key.ljust(KEY_LENGTH, b"\0") if len(key) < KEY_LENGTH else aes_xcbc(bytes(KEY_LENGTH), key)


def _fit_cmac(key: bytes) -> bytes:
    """Short and long keys are digested under a key of zeros (RFC 4615 section 3, step 1b)."""
    return aes_cmac(bytes(KEY_LENGTH), key)


HMAC_MD5 = HmacPrf(PrfId.PRF_HMAC_MD5, "md5", 16)
HMAC_SHA1 = HmacPrf(PrfId.PRF_HMAC_SHA1, "sha1", 20)
HMAC_SHA2_256 = HmacPrf(PrfId.PRF_HMAC_SHA2_256, "sha256", 32)
HMAC_SHA2_384 = HmacPrf(PrfId.PRF_HMAC_SHA2_384, "sha384", 48)
HMAC_SHA2_512 = HmacPrf(PrfId.PRF_HMAC_SHA2_512, "sha512", 64)
AES128_XCBC = AesPrf(PrfId.PRF_AES128_XCBC, aes_xcbc, _fit_xcbc)
AES128_CMAC = AesPrf(PrfId.PRF_AES128_CMAC, aes_cmac, _fit_cmac)
