"""Postquantum preshared keys: mixed into the keys of an IKE SA, beside how the peers authenticate (RFC 8784)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from caponier.octets import Secret

PPK_ID_FIXED = 2  #: "the format of the PPK_ID and the PPK are fixed octet strings" (section 5.1)
SHORTEST = 32  #: octets: "at least 256 bits of entropy" (section 6)


@dataclass(frozen=True, slots=True)
class Ppk:
    """A postquantum preshared key, as both sides know it.

    Attributes:
        name: what both sides call it; goes over the network.
        secret: the key.
        required: whether the peer may do without it.
    """

    name: str
    secret: Secret
    required: bool = True

    @property
    def identity(self) -> bytes:
        """The PPK_ID: its type, then the name (section 5.1)."""
        return bytes((PPK_ID_FIXED,)) + self.name.encode()

    def is_called(self, identity: bytes) -> bool:
        """Whether a peer means this one."""
        return hmac.compare_digest(self.identity, identity)
