"""One input made of several pieces, and messages sealed around octets that no encoder would write."""

from __future__ import annotations

from collections.abc import Iterable

from caponier.doi.ikev2 import PayloadType
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.octets import Reader
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import encode_message
from caponier.protocols.ike.messages.payloads import Encrypted


def join(pieces: Iterable[bytes]) -> bytes:
    """Each piece behind its length in two octets."""
    return b"".join(len(piece).to_bytes(2) + piece for piece in pieces)


def split(octets: bytes, most: int) -> list[bytes]:
    """What :func:`join` made, as far as it goes: a last piece may be shorter than it says."""
    r = Reader(octets)
    pieces: list[bytes] = []
    while r.remaining >= 2 and len(pieces) < most:
        length = r.u16("length")
        pieces.append(r.octets(min(length, r.remaining), "piece"))
    return pieces


def seal_octets(header: Header, first: int, content: bytes, cipher: MessageCipher, iv: bytes) -> bytes:
    """A protected message around any octets (RFC 7296 section 3.14).

    Args:
        header: its next payload and length are computed.
        first: what the Encrypted payload says that its content begins with.
        content: the octets; too many are cut off.
        cipher: of the sender.
        iv: fresh.
    """
    content = content[:60_000]
    padding = -(len(content) + 1) % cipher.block_size
    plaintext = content + bytes(padding) + bytes((padding,))
    length = cipher.iv_length + len(plaintext) + cipher.icv_length
    associated = encode_message(header, [Encrypted(PayloadType(first), bytes(length))])[:-length]
    return associated + cipher.seal(iv, associated, plaintext)
