"""Which keys a cipher takes (RFC 7296 sections 2.14, 2.17 and 3.3.5); the same for IKE messages and for ESP packets."""

from __future__ import annotations

from dataclasses import dataclass

from caponier.doi.ikev2 import EncryptionId
from caponier.errors import MisuseError


@dataclass(frozen=True, slots=True)
class CipherKeys:
    """A cipher, as far as key derivation needs to know it.

    Attributes:
        id: its transform id.
        key_lengths: bits that the Key Length attribute may name; empty where there is none to choose.
        fixed_length: bits of the key where there is none to choose.
        salt_length: octets of salt or nonce behind the key.
    """

    id: EncryptionId
    key_lengths: tuple[int, ...]
    fixed_length: int = 0
    salt_length: int = 0

    def accepts(self, key_length: int | None) -> bool:
        """Whether the Key Length attribute (bits; None without one) suits this cipher."""
        return key_length in self.key_lengths if self.key_lengths else key_length is None

    def key_octets(self, key_length: int | None) -> int:
        """Octets to derive: key and salt.

        Raises:
            MisuseError: no key length of this cipher.
        """
        if not self.accepts(key_length):
            raise MisuseError(f"{self.id.name} has no keys of {key_length} bits")
        return (key_length or self.fixed_length) // 8 + self.salt_length
