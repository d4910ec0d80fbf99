"""Ciphers as the Encrypted payload uses them (RFC 7296 section 3.14, RFC 5282, RFC 5930, RFC 7634).

Each protects in one direction. An AEAD's nonce is salt and IV: the salt comes with the key (RFC 5282 section 4), the IV
travels in the message.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from cryptography.exceptions import InvalidTag

from caponier.errors import IntegrityFailed
from caponier.mechanisms.algorithms.aeads import AeadAlgorithm
from caponier.mechanisms.algorithms.block_modes import BlockMode
from caponier.mechanisms.algorithms.integrity import IntegrityAlgorithm
from caponier.octets import Secret

AEAD_IV_LENGTH = 8  #: octets; RFC 5282 section 3.1, RFC 7634 section 2


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
            iv: ``iv_length`` octets; never repeated where ``block_size`` is 1 (AEAD, CTR), else unpredictable (CBC).
            associated: the message from its first octet to the end of the SK payload's generic header.
            plaintext: payloads, padding, Pad Length.
        """

    def open(self, associated: bytes, protected: bytes) -> bytes:
        """The plaintext of what :meth:`seal` made.

        Raises:
            IntegrityFailed: it was made with another key, or something was changed.
        """


class AeadCipher:
    """A combined mode: AES-GCM, AES-CCM (RFC 5282) or ChaCha20-Poly1305 (RFC 7634)."""

    iv_length = AEAD_IV_LENGTH
    block_size = 1

    def __init__(self, algorithm: AeadAlgorithm, key: Secret, salt_length: int) -> None:
        octets = key.expose()
        self._aead = algorithm.keyed(octets[: len(octets) - salt_length])
        self._salt = octets[len(octets) - salt_length :]
        self.icv_length = algorithm.icv_length

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


class EncryptThenMac:
    """A block mode, with an integrity algorithm over everything before the ICV (RFC 7296 section 3.14).

    It keeps a copy of the integrity key: a key that is wiped while a cipher holds it would become one of zeros, which
    everybody knows.
    """

    def __init__(self, mode: BlockMode, integrity: IntegrityAlgorithm, integrity_key: Secret) -> None:
        self._mode = mode
        self._integrity = integrity
        self._integrity_key = Secret(integrity_key.expose())
        self.iv_length = mode.iv_length
        self.block_size = mode.block_size
        self.icv_length = integrity.icv_length

    def seal(self, iv: bytes, associated: bytes, plaintext: bytes) -> bytes:
        body = iv + self._mode.encrypt(iv, plaintext)
        return body + self._integrity.compute(self._integrity_key, associated + body)

    def open(self, associated: bytes, protected: bytes) -> bytes:
        body, icv = protected[: -self.icv_length], protected[-self.icv_length :]
        iv, ciphertext = body[: self.iv_length], body[self.iv_length :]
        if not ciphertext or len(ciphertext) % self.block_size:
            raise _broken()
        if not hmac.compare_digest(self._integrity.compute(self._integrity_key, associated + body), icv):
            raise _broken()
        return self._mode.decrypt(iv, ciphertext)


def _broken() -> IntegrityFailed:
    return IntegrityFailed("the message's integrity checksum does not verify", section="RFC 7296 section 3.14")
