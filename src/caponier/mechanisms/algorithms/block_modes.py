"""Encryption without integrity: CBC (RFC 3602, RFC 2451, RFC 5529) and CTR (RFC 3686, RFC 5930).

An integrity algorithm goes with each, as the Encrypted payload wants it (RFC 7296 section 3.14).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes

from caponier.doi.ikev2 import EncryptionId

_CTR_NONCE = 4  #: octets behind the key (RFC 3686 section 5.1)
_CTR_START = (1).to_bytes(4)  #: "The Block Counter begins with the value of one" (RFC 5930 section 2)


class BlockMode(Protocol):
    """A cipher with one key.

    Attributes:
        iv_length: octets.
        block_size: octets; what is encrypted must be a multiple. 1 where nothing is padded, and where an IV must never come
            again; with more it must be unpredictable.
    """

    @property
    def iv_length(self) -> int: ...
    @property
    def block_size(self) -> int: ...

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes: ...
    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes: ...


class Cbc:
    """Cipher block chaining (RFC 3602 section 2)."""

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self._algorithm = algorithm
        self.iv_length = self.block_size = algorithm.block_size // 8

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        encryptor = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        return encryptor.update(plaintext) + encryptor.finalize()

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        decryptor = Cipher(self._algorithm, modes.CBC(iv)).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()


class Ctr:
    """AES in counter mode: the counter block is nonce, IV and block counter (RFC 3686 section 4)."""

    iv_length = 8
    block_size = 1

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._algorithm = algorithms.AES(key)
        self._nonce = nonce

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        encryptor = Cipher(self._algorithm, modes.CTR(self._nonce + iv + _CTR_START)).encryptor()
        return encryptor.update(plaintext) + encryptor.finalize()

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        return self.encrypt(iv, ciphertext)


@dataclass(frozen=True, slots=True)
class BlockModeAlgorithm:
    """A cipher that needs an integrity algorithm.

    Attributes:
        id: its transform id.
        keyed: the cipher of a key, with the nonce behind it where it has one.
    """

    id: EncryptionId
    keyed: Callable[[bytes], BlockMode]


def _aes_ctr(key: bytes) -> BlockMode:
    return Ctr(key[:-_CTR_NONCE], key[-_CTR_NONCE:])


BLOCK_MODES = (
    BlockModeAlgorithm(EncryptionId.ENCR_3DES, lambda key: Cbc(TripleDES(key))),
    BlockModeAlgorithm(EncryptionId.ENCR_AES_CBC, lambda key: Cbc(algorithms.AES(key))),
    BlockModeAlgorithm(EncryptionId.ENCR_AES_CTR, _aes_ctr),
    BlockModeAlgorithm(EncryptionId.ENCR_CAMELLIA_CBC, lambda key: Cbc(Camellia(key))),
)
