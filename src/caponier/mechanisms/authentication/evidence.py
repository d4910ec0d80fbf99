"""Evidence that a peer proved its identity (RFC 7296 section 2.15). Only a ``verify_`` function makes it."""

from __future__ import annotations

from dataclasses import dataclass

from caponier.mechanisms.authentication.identity import Identity


@dataclass(frozen=True, slots=True)
class PeerAuthenticated:
    """A peer proved that it is who it says (RFC 7296 section 2.15).

    Attributes:
        identity: who it is.
        method: how it proved that: ``psk``, or a signature scheme such as ``ecdsa-sha256``.
    """

    identity: Identity
    method: str
