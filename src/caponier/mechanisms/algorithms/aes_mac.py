"""Message authentication codes from AES-128: XCBC (RFC 3566) and CMAC (RFC 4493). Both make 16 octets.

XCBC is CBC-MAC with three keys; the last block is mixed with the second or the third, so that messages of any length are safe.
CMAC is the library's.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

KEY_LENGTH = MAC_LENGTH = 16  #: octets; RFC 3566 section 4, RFC 4493 section 2.4
_BLOCK = 16


def aes_xcbc(key: bytes, octets: bytes) -> bytes:
    """AES-XCBC-MAC, not cut (RFC 3566 sections 4.1 and 4.2).

    Args:
        key: K, 16 octets.
        octets: M, of any length.
    """
    k1, k2, k3 = (_cbc(key, bytes((number,)) * _BLOCK) for number in (1, 2, 3))
    start = max(len(octets) - 1, 0) // _BLOCK * _BLOCK  # of M[n], the last block, which may be whole, short or empty
    last = octets[start:]
    is_whole = len(last) == _BLOCK
    mixed = _xor(last, k2) if is_whole else _xor(last + b"\x80" + bytes(_BLOCK - 1 - len(last)), k3)
    return _cbc(k1, octets[:start] + mixed)[-_BLOCK:]


def aes_cmac(key: bytes, octets: bytes) -> bytes:
    """AES-CMAC (RFC 4493 section 2.4).

    Args:
        key: K, 16 octets.
        octets: M, of any length.
    """
    mac = CMAC(algorithms.AES(key))
    mac.update(octets)
    return mac.finalize()


def _cbc(key: bytes, octets: bytes) -> bytes:
    """CBC from an IV of zeros: of a single block it is AES itself."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).encryptor()
    return encryptor.update(octets) + encryptor.finalize()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
