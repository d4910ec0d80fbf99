"""Every payload's body by itself (RFC 7296 sections 3.3 to 3.16, RFC 7383 section 2.5)."""

from __future__ import annotations

from typing import get_args

from caponier.errors import WireError
from caponier.mechanisms.negotiation.selectors import TrafficSelector, format_selector
from caponier.mechanisms.negotiation.spelling import format_proposals
from caponier.mechanisms.negotiation.weakness import weak_algorithms
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.attributes import read_reply, read_request
from caponier.protocols.ike.messages.payloads import (
    CertificateRequest,
    Configuration,
    EncryptedFragment,
    Identification,
    Notify,
    PlainPayload,
    SecurityAssociation,
    TrafficSelectors,
)
from fuzz.telling import require_told
from tests.wire.table import ROWS

KINDS: tuple[type[PlainPayload | EncryptedFragment], ...] = (*get_args(PlainPayload), EncryptedFragment)


def seeds() -> dict[str, bytes]:
    """Which payload, and its body."""
    return {
        row.name: bytes((KINDS.index(type(row.payload)),)) + row.octets for row in ROWS if type(row.payload) in KINDS
    }


def one(octets: bytes) -> None:
    """A payload or a WireError; a payload means the same when it is written again, and can be told to people."""
    if not octets:
        return
    kind = KINDS[octets[0] % len(KINDS)]
    try:
        payload = _decode(kind, octets[1:])
    except WireError as error:
        require_told(error)
        return
    w = Writer()
    payload.encode(w)
    assert _decode(kind, w.finish()) == payload
    _tell(payload)


def _decode(kind: type[PlainPayload | EncryptedFragment], octets: bytes) -> PlainPayload | EncryptedFragment:
    r = Reader(octets, kind.__name__)
    payload = kind.decode(r)
    r.end()
    return payload


def _tell(payload: PlainPayload | EncryptedFragment) -> None:
    """Logs and refusals quote what a stranger sent: that must be possible for everything that decodes."""
    assert repr(payload)
    match payload:
        case SecurityAssociation(proposals):
            assert len(format_proposals(proposals)) <= 2_100
            for proposal in proposals:
                weak_algorithms(proposal)
        case TrafficSelectors():
            for selector in payload.selectors:
                if isinstance(selector, TrafficSelector):
                    assert format_selector(selector)
        case Identification():
            text = payload.identity.text
            assert all(" " <= letter <= "~" or letter == "…" for letter in text)
        case Notify():
            assert payload.type.is_error in (True, False)
        case CertificateRequest():
            assert all(len(each) == 20 for each in payload.authority_hashes)
        case Configuration():
            assert read_request(payload).addresses.keys() <= {4, 6}
            assert len(read_reply(payload).addresses) <= 2
        case _:
            pass
