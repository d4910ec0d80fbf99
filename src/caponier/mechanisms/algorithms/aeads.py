"""Authenticated encryption in the one shape that IKE needs: AES-GCM, AES-CCM (RFC 5282), ChaCha20-Poly1305 (RFC 7634)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from caponier.doi.ikev2 import EncryptionId


class Aead(Protocol):
    """A cipher with one key. ``decrypt`` raises the library's InvalidTag."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


class ShortTagGcm:
    """AES-GCM with an ICV of 8 or 12 octets (RFC 5282 section 4); the library's own AESGCM knows only 16."""

    def __init__(self, key: bytes, tag_length: int) -> None:
        self._aes = algorithms.AES(key)
        self._tag_length = tag_length

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        encryptor = Cipher(self._aes, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data or b"")
        ciphertext = encryptor.update(data) + encryptor.finalize()
        return ciphertext + encryptor.tag[: self._tag_length]

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        ciphertext, tag = data[: -self._tag_length], data[-self._tag_length :]
        mode = modes.GCM(nonce, tag, min_tag_length=self._tag_length)
        decryptor = Cipher(self._aes, mode).decryptor()
        decryptor.authenticate_additional_data(associated_data or b"")
        return decryptor.update(ciphertext) + decryptor.finalize()


@dataclass(frozen=True, slots=True)
class AeadAlgorithm:
    """A combined-mode cipher.

    Attributes:
        id: its transform id.
        keyed: the cipher of a key, without the salt.
        icv_length: octets of its tag.
    """

    id: EncryptionId
    keyed: Callable[[bytes], Aead]
    icv_length: int


def _short_gcm(tag_length: int) -> Callable[[bytes], Aead]:
    return partial(ShortTagGcm, tag_length=tag_length)


def _ccm(tag_length: int) -> Callable[[bytes], Aead]:
    return partial(AESCCM, tag_length=tag_length)


AEADS = (
    AeadAlgorithm(EncryptionId.ENCR_AES_CCM_8, _ccm(8), 8),
    AeadAlgorithm(EncryptionId.ENCR_AES_CCM_12, _ccm(12), 12),
    AeadAlgorithm(EncryptionId.ENCR_AES_CCM_16, _ccm(16), 16),
    AeadAlgorithm(EncryptionId.ENCR_AES_GCM_8, _short_gcm(8), 8),
    AeadAlgorithm(EncryptionId.ENCR_AES_GCM_12, _short_gcm(12), 12),
    AeadAlgorithm(EncryptionId.ENCR_AES_GCM_16, AESGCM, 16),
    AeadAlgorithm(EncryptionId.ENCR_CHACHA20_POLY1305, ChaCha20Poly1305, 16),
)
