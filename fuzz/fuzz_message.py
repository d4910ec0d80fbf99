"""IKE messages in clear, as anybody on the network may send them (RFC 7296 sections 2.5 and 3.1)."""

from __future__ import annotations

from caponier.errors import PeerError
from caponier.protocols.ike.messages.message import Message, decode_message, encode_message
from caponier.protocols.ike.messages.rules import check
from fuzz.telling import require_harmless
from tests.wire.table import MESSAGES


def seeds() -> dict[str, bytes]:
    return {row.name: row.octets for row in MESSAGES}


def one(octets: bytes) -> None:
    """A message, or a PeerError that closes nothing; what is a message means the same when it is written again."""
    try:
        message = decode_message(octets)
    except PeerError as error:
        require_harmless(error)
        return
    again = decode_message(encode_message(message.header, message.payloads))
    assert (again.header, again.payloads) == (message.header, message.payloads)
    _check(message)


def _check(message: Message) -> None:
    try:
        check(message)
    except PeerError as error:
        require_harmless(error)
