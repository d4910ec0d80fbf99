"""Ciphers as the Encrypted payload uses them (RFC 7296 section 3.14, RFC 5282, RFC 7634).

Each protects in one direction. An AEAD's nonce is salt and IV: the salt comes with the key (RFC 5282 section 4), the IV
travels in the message.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from caponier.errors import IntegrityFailed
from caponier.mechanisms.algorithms.integrity import IntegrityAlgorithm
from caponier.octets import Secret

AEAD_IV_LENGTH = 8  #: octets; RFC 5282 section 3.1, RFC 7634 section 2
AEAD_ICV_LENGTH = 16
AES_BLOCK = 16


class MessageCipher(Protocol):
    """Protects the SK payload of IKE messages in one direction.

    Attributes:
        iv_length: octets in front of the ciphertext.
        icv_length: octets behind it.
        block_size: octets; the plaintext with padding and Pad Length must be a multiple.
    """

    @property
    def iv_length(self) -> int: ...
    @property
    def icv_length(self) -> int: ...
    @property
    def block_size(self) -> int: ...

    def seal(self, iv: bytes, associated: bytes, plaintext: bytes) -> bytes:
        """IV | ciphertext | ICV.

        Args:
            iv: ``iv_length`` octets; never repeated for an AEAD, unpredictable for CBC.
            associated: the message from its first octet to the end of the SK payload's generic header.
            plaintext: payloads, padding, Pad Length.
        """

    def open(self, associated: bytes, protected: bytes) -> bytes:
        """The plaintext of what :meth:`seal` made.

        Raises:
            IntegrityFailed: it was made with another key, or something was changed.
        """


class AeadCipher:
    """AES-GCM with a 16-octet ICV (RFC 5282) or ChaCha20-Poly1305 (RFC 7634)."""

    iv_length = AEAD_IV_LENGTH
    icv_length = AEAD_ICV_LENGTH
    block_size = 1

    def __init__(self, aead: type[AESGCM | ChaCha20Poly1305], key: Secret, salt_length: int) -> None:
        octets = key.expose()
        self._aead = aead(octets[: len(octets) - salt_length])
        self._salt = octets[len(octets) - salt_length :]

    def seal(self, iv: bytes, associated: bytes, plaintext: bytes) -> bytes:
        return iv + self._aead.encrypt(self._salt + iv, plaintext, associated)

    def open(self, associated: bytes, protected: bytes) -> bytes:
        iv, ciphertext = protected[: self.iv_length], protected[self.iv_length :]
        if len(ciphertext) < self.icv_length:
            raise _broken()
        try:
            return self._aead.decrypt(self._salt + iv, ciphertext, associated)
        except InvalidTag:
            raise _broken() from None


class CbcCipher:
    """AES-CBC (RFC 3602), with an integrity algorithm over everything before the ICV (RFC 7296 section 3.14).

    It keeps a copy of the integrity key: a key that is wiped while a cipher holds it would become one of zeros, which
    everybody knows.
    """

    iv_length = AES_BLOCK
    block_size = AES_BLOCK

    def __init__(self, key: Secret, integrity: IntegrityAlgorithm, integrity_key: Secret) -> None:
        self._algorithm = algorithms.AES(key.expose())
        self._integrity = integrity
        self._integrity_key = Secret(integrity_key.expose())
        self.icv_length = integrity.icv_length

    def seal(self, iv: bytes, associated: bytes, plaintext: bytes) -> bytes:
        encryptor = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        body = iv + encryptor.update(plaintext) + encryptor.finalize()
        return body + self._integrity.compute(self._integrity_key, associated + body)

    def open(self, associated: bytes, protected: bytes) -> bytes:
        body, icv = protected[: -self.icv_length], protected[-self.icv_length :]
        if len(body) < 2 * AES_BLOCK or len(body) % AES_BLOCK:
            raise _broken()
        if not hmac.compare_digest(self._integrity.compute(self._integrity_key, associated + body), icv):
            raise _broken()
        decryptor = Cipher(self._algorithm, modes.CBC(body[:AES_BLOCK])).decryptor()
        return decryptor.update(body[AES_BLOCK:]) + decryptor.finalize()


def _broken() -> IntegrityFailed:
    return IntegrityFailed("the message's integrity checksum does not verify", section="RFC 7296 section 3.14")
