"""Payloads that we do not know (RFC 7296 section 2.5)."""

from __future__ import annotations

from dataclasses import dataclass

from caponier.doi.ikev2 import PayloadType
from caponier.octets import Writer


@dataclass(frozen=True, slots=True)
class Unknown:
    """A payload of a type without a decoder; skipped, and kept for whoever shows the message.

    The numbers of IKEv1 (1 to 32) are unknown here as well: no payload is ever read by the rules of the
    other version.

    Attributes:
        type: its number.
        critical: whether the sender wants the message rejected. Never set in a decoded message, because
            decoding has rejected it then (section 2.5).
        body: what stands behind the generic header.
    """

    type: PayloadType
    critical: bool
    body: bytes

    @property
    def TYPE(self) -> PayloadType:  # noqa: N802 - named like the class variable of all other payloads
        return self.type

    def encode(self, w: Writer) -> None:
        w.octets(self.body)
