"""Payload codecs (RFC 7296 sections 3.2 to 3.16): by hand-written octets, by round trip, by junk."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import PayloadType
from caponier.errors import WireError
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.payloads import Payload, PlainPayload
from tests.wire.strategies import plain_payloads
from tests.wire.table import ROWS, Row

KINDS = get_args(PlainPayload)
PLAIN_ROWS = [row for row in ROWS if isinstance(row.payload, KINDS)]


def encode(payload: Payload) -> bytes:
    w = Writer()
    payload.encode(w)
    return w.finish()


@pytest.mark.parametrize("row", PLAIN_ROWS, ids=lambda row: row.name)
def test_octets_from_the_diagrams(row: Row) -> None:
    """Each row's octets were written by hand from the RFC's diagram."""
    assert encode(row.payload) == row.octets
    r = Reader(row.octets, row.name)
    assert type(row.payload).decode(r) == row.payload  # type: ignore[union-attr]
    r.end()


@pytest.mark.parametrize("row", PLAIN_ROWS, ids=lambda row: row.name)
def test_truncated_at_every_octet(row: Row) -> None:
    """A body cut short either still has a meaning of its own, or is refused; nothing else."""
    for length in range(len(row.octets)):
        try:
            payload = type(row.payload).decode(Reader(row.octets[:length], row.name))  # type: ignore[union-attr]
        except WireError:
            continue
        assert isinstance(payload, KINDS)


def test_every_payload_type_has_a_row() -> None:
    assert {type(row.payload) for row in PLAIN_ROWS} == set(KINDS)


@given(plain_payloads)
def test_round_trip(payload: Payload) -> None:
    octets = encode(payload)
    r = Reader(octets, "payload")
    assert type(payload).decode(r) == payload  # type: ignore[union-attr]
    r.end()


@given(st.sampled_from(KINDS), st.binary(max_size=300))
def test_junk_is_refused_or_has_a_meaning(kind: type[PlainPayload], junk: bytes) -> None:
    """Parsers are total: WireError is the only error that octets can cause."""
    r = Reader(junk, "junk")
    try:
        payload = kind.decode(r)
        r.end()
    except WireError:
        return
    again = kind.decode(Reader(encode(payload), "again"))
    assert again == payload


def test_types_are_distinct() -> None:
    types = [kind.TYPE for kind in KINDS]
    assert len(set(types)) == len(types)
    assert PayloadType.NO_NEXT not in types
