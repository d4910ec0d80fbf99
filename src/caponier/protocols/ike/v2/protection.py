"""Sealing and opening the messages of one IKE SA (RFC 7296 section 3.14, RFC 5282, RFC 7383)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caponier.mechanisms.algorithms.catalog import message_cipher
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.keys.schedule import IkeKeys
from caponier.octets import Secret
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import (
    Content,
    encode_payloads,
    first_type,
    open_content,
    seal_content,
)
from caponier.protocols.ike.messages.payloads import Payload
from caponier.protocols.ike.v2.fragmentation import Sealed, joined, split


class Protection:
    """The keys of an IKE SA at work, in both directions.

    Args:
        suite: the negotiated algorithms.
        keys: of the IKE SA; wiped by ``close``.
        role: ours; it says which keys are for which direction.
        rng: for the IVs of CBC.
    """

    __slots__ = ("_inbound", "_next_iv", "_outbound", "_rng", "keys", "suite")

    def __init__(self, suite: IkeSuite, keys: IkeKeys, role: Role, rng: Callable[[int], bytes]) -> None:
        self.suite = suite
        self.keys = keys
        initiators = self._cipher(keys.sk_ei, keys.sk_ai)
        responders = self._cipher(keys.sk_er, keys.sk_ar)
        is_initiator = role is Role.INITIATOR
        self._outbound, self._inbound = (initiators, responders) if is_initiator else (responders, initiators)
        self._rng = rng
        self._next_iv = 0

    def seal(self, header: Header, payloads: Sequence[Payload], room: int | None = None) -> Sealed:
        """A protected message. Each call uses a new IV; a retransmission sends the same octets instead.

        Args:
            header: its next payload and length are computed.
            payloads: what is to be protected.
            room: octets of a message that leaves in one piece; None for any.
        """
        content = Content(header, first_type(payloads), encode_payloads(payloads))
        whole = seal_content(content, self._outbound, self._iv())
        if room is None or len(whole) <= room:
            return (whole,)
        return split(content, self._outbound, self._iv, room)

    def split(self, sealed: Sealed, room: int) -> Sealed:
        """A message of ours once more, in smaller fragments."""
        return split(joined(sealed, self._outbound), self._outbound, self._iv, room)

    def open(self, octets: bytes, header: Header | None = None) -> Content:
        """Verify and decrypt a message or a fragment.

        Raises:
            IntegrityFailed: the octets are not from the peer.
            PeerError: what was inside is wrong.
        """
        return open_content(octets, self._inbound, header)

    def close(self) -> None:
        self.keys.wipe()

    def _cipher(self, encryption: Secret, integrity: Secret) -> MessageCipher:
        suite = self.suite
        return message_cipher(suite.encryption, suite.key_length, suite.integrity, encryption, integrity)

    def _iv(self) -> bytes:
        """A counter for AEAD and CTR, where it must never repeat under a key (RFC 5282 section 3.1, RFC 5930 section 2); random
        octets for CBC, where it must be unpredictable (RFC 7296 section 3.14)."""
        if self._outbound.block_size != 1:
            return self._rng(self._outbound.iv_length)
        self._next_iv += 1
        return (self._next_iv - 1).to_bytes(self._outbound.iv_length)
