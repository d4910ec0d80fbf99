"""The algorithms of ESP and AH that scapy lacks, in its own terms: its constructions around the ciphers of OpenSSL.

Importing this module completes scapy's tables (``CRYPT_ALGOS``, ``AUTH_ALGOS``). What scapy 2.8 lacks, and why:

* Camellia-CBC (RFC 4312), and AES-XCBC-MAC-96 (RFC 3566), which OpenSSL does not have either.
* ICVs of 8 and 12 octets of AES-GCM (RFC 4106 section 6): its GCM seals with 16, whatever ``crypt_icv_size`` says.
* The implicit IVs of RFC 8750: its nonces are made of the salt and the IV alone, not of the sequence number.
* AES-GMAC in AH (RFC 4543 section 4): its MACs have no IV.
"""

# ruff: noqa: FBT001, FBT002 - the signatures are those of scapy

from __future__ import annotations

import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from scapy.layers.ipsec import (
    AH,
    AUTH_ALGOS,
    CRYPT_ALGOS,
    AuthAlgo,
    CryptAlgo,
    IPSecIntegrityError,
    zero_mutable_fields,
)
from scapy.packet import Packet

GMAC_IV = 8  #: octets of the IV in front of the ICV


def xcbc(key: bytes, message: bytes) -> bytes:
    """AES-XCBC-MAC of 16 octets, step by step as RFC 3566 section 4 has it."""
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    k1, k2, k3 = (ecb.update(bytes([number]) * 16) for number in (1, 2, 3))
    is_whole = bool(message) and len(message) % 16 == 0
    padded = message if is_whole else message + b"\x80" + bytes(-len(message) % 16 - 1 if len(message) % 16 else 15)
    last = _xor(padded[-16:], k2 if is_whole else k3)
    cbc = Cipher(algorithms.AES(k1), modes.CBC(bytes(16))).encryptor()
    return cbc.update(padded[:-16] + last)[-16:]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class _Xcbc:
    """A MAC object as scapy makes them of ``cryptography``'s classes."""

    def __init__(self, key: bytes, _digest: object, _backend: object) -> None:
        self._key, self._message = key, b""

    def update(self, octets: bytes) -> None:
        self._message += octets

    def finalize(self) -> bytes:
        return xcbc(self._key, self._message)


class ImplicitIv(CryptAlgo):  # type: ignore[misc] # scapy has no types
    """RFC 8750 section 4: the nonce is the salt and the 64-bit sequence number; no IV is sent."""

    def __init__(self, name: str, cipher: object, key_size: object, salt_size: int) -> None:
        self._number = b""
        super().__init__(
            name,
            cipher=cipher,
            mode=None,
            key_size=key_size,
            block_size=1,
            iv_size=0,
            icv_size=16,
            salt_size=salt_size,
            format_mode_iv=lambda sa, **_: sa.crypt_salt + self._number,
        )

    def encrypt(
        self, sa: Any, esp: Packet, key: bytes, icv_size: int | None = None, esn_en: bool = False, esn: int = 0
    ) -> Any:
        self._number = _whole_number(esp, esn_en=esn_en, esn=esn)
        return super().encrypt(sa, esp, key, icv_size, esn_en, esn)

    def decrypt(
        self, sa: Any, esp: Packet, key: bytes, icv_size: int | None = None, esn_en: bool = False, esn: int = 0
    ) -> Any:
        self._number = _whole_number(esp, esn_en=esn_en, esn=esn)
        return super().decrypt(sa, esp, key, icv_size, esn_en, esn)


def _whole_number(esp: Packet, *, esn_en: bool, esn: int) -> bytes:
    """Without ESN the upper half is 0 (RFC 8750 section 4)."""
    number: int = (esn << 32 if esn_en else 0) | esp.seq
    return number.to_bytes(8)


class Gmac(AuthAlgo):  # type: ignore[misc] # as above
    """AUTH_AES_GMAC (RFC 4543 section 4): in AH's ICV field an IV of 8 octets, and an ICV of 16.

    The ICV covers the packet with the ICV field zeroed, but for the IV; the salt stands behind the key (section 5.4).
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, mac=True, digestmod=None, icv_size=GMAC_IV + 16)

    def sign(self, pkt: Packet, key: bytes, esn_en: bool = False, esn: int = 0) -> Packet:
        iv = os.urandom(GMAC_IV)
        covered = self._covered(pkt, iv, sending=True) + (esn.to_bytes(4) if esn_en else b"")
        pkt[AH].icv = iv + AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", covered)
        return pkt

    def verify(self, pkt: Packet, key: bytes, esn_en: bool = False, esn: int = 0) -> None:
        header = pkt[AH]
        if len(header.icv) != self.icv_size:
            header.icv, header.padding = header.icv[: self.icv_size], header.icv[self.icv_size :]
        iv, icv = header.icv[:GMAC_IV], header.icv[GMAC_IV:]
        covered = self._covered(pkt, iv, sending=False) + (esn.to_bytes(4) if esn_en else b"")
        try:
            AESGCM(key[:-4]).decrypt(key[-4:] + iv, icv, covered)
        except InvalidTag as error:
            raise IPSecIntegrityError(error) from None

    @staticmethod
    def _covered(pkt: Packet, iv: bytes, *, sending: bool) -> bytes:
        covered = zero_mutable_fields(pkt.copy(), sending=sending)
        covered[AH].icv = iv + bytes(16)
        return bytes(covered)


def _salted(sa: Any, iv: bytes, **_: object) -> bytes:
    return bytes(sa.crypt_salt + iv)


def _complete() -> None:
    keys = (16, 24, 32)
    CRYPT_ALGOS["CAMELLIA-CBC"] = CryptAlgo("CAMELLIA-CBC", cipher=Camellia, mode=modes.CBC)
    CRYPT_ALGOS["AES-GCM-SHORT"] = CryptAlgo(
        "AES-GCM-SHORT",
        cipher=algorithms.AES,
        mode=modes.GCM,
        key_size=keys,
        block_size=1,
        iv_size=8,
        icv_size=16,
        salt_size=4,
        format_mode_iv=_salted,
    )
    CRYPT_ALGOS["AES-CCM-IIV"] = ImplicitIv("AES-CCM-IIV", AESCCM, keys, 3)
    CRYPT_ALGOS["AES-GCM-IIV"] = ImplicitIv("AES-GCM-IIV", AESGCM, keys, 4)
    CRYPT_ALGOS["CHACHA20-POLY1305-IIV"] = ImplicitIv("CHACHA20-POLY1305-IIV", ChaCha20Poly1305, 32, 4)
    AUTH_ALGOS["AES-XCBC-96"] = AuthAlgo("AES-XCBC-96", mac=_Xcbc, digestmod=lambda: None, icv_size=12, key_size=(16,))
    AUTH_ALGOS["AES-GMAC"] = Gmac("AES-GMAC")


_complete()
