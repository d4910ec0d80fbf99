"""Fragments of IKE messages from somebody who has the keys, in any order and number (RFC 7383 section 2.6)."""

from __future__ import annotations

from caponier.doi.ikev2 import EncryptionId, ExchangeType, PayloadType
from caponier.errors import PeerError
from caponier.mechanisms.algorithms.catalog import message_cipher
from caponier.octets import Secret
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.limits import MAX_MESSAGE
from caponier.protocols.ike.messages.message import (
    Content,
    decode_content,
    decode_header,
    find_fragment,
    open_content,
    seal_content,
)
from caponier.protocols.ike.v2.fragmentation import Reassembly
from fuzz.framing import join, split
from fuzz.telling import require_told
from tests.wire.table import MESSAGES

CIPHER = message_cipher(EncryptionId.ENCR_AES_GCM_16, 256, None, Secret(bytes(range(36))), None)
MOST = 40  #: fragments of one input


def seeds() -> dict[str, bytes]:
    """Fragments, each behind its length: message id, number, total, first payload's type, content."""
    found: dict[str, bytes] = {}
    for row in MESSAGES:
        chain, first = row.octets[28:], row.octets[16]
        half = len(chain) // 2
        parts = [bytes((1, 1, 2, first)) + chain[:half], bytes((1, 2, 2, 0)) + chain[half:]]
        found[f"{row.name}-in-order"] = join(parts)
        found[f"{row.name}-reversed"] = join(reversed(parts))
        found[f"{row.name}-cut-anew"] = join([parts[0], bytes((1, 1, 3, first)) + chain[:5], parts[1]])
        found[f"{row.name}-twice"] = join([parts[0], parts[0], parts[1], parts[1]])
    return found


def one(octets: bytes) -> None:
    """A PeerError or a message; what is kept never gets more than a message may have, and is counted rightly."""
    kept = Reassembly()
    for sequence, piece in enumerate(split(octets, MOST)):
        if len(piece) >= 4:
            _take(kept, piece, sequence)
        assert kept.length <= MAX_MESSAGE
        assert kept.length >= 0
    for message_id in range(256):
        kept.forget(message_id)
    assert (len(kept), kept.length) == (0, 0)


def _take(kept: Reassembly, piece: bytes, sequence: int) -> None:
    header = Header(
        spi_i=b"initiate",
        spi_r=b"response",
        exchange=ExchangeType.IKE_AUTH,
        is_initiator=True,
        is_response=False,
        message_id=piece[0] % 4,
    )
    number, total = piece[1], piece[2]
    content = Content(header, PayloadType(piece[3]), piece[4:] * (1 + piece[0] // 16), number, total or 1)
    sealed = seal_content(content, CIPHER, sequence.to_bytes(CIPHER.iv_length))
    try:
        fragment = find_fragment(sealed, decode_header(sealed))
        assert fragment is not None
        kept.require_new(header.message_id, fragment)
        whole = kept.add(open_content(sealed, CIPHER), sealed)
        if whole is not None:
            decode_content(whole.content)
    except PeerError as error:
        require_told(error)
