"""Identities: of peers, as octets (RFC 7296 section 3.5), and of configurations, as text."""

from __future__ import annotations

from caponier.doi.ikev2 import IdType
from caponier.errors import ConfigError
from caponier.mechanisms.authentication.identity import (
    Identity,
    IdentityPattern,
    parse_identity,
    parse_identity_pattern,
    same,
)
from caponier.protocols.ike.messages.payloads import Identification
from fuzz.telling import require_told
from tests.wire.table import ROWS

#: As people write them; each is also a seed in its octets.
WRITTEN = (
    "gw1.example.com",
    "*.example.com",
    "*@example.com",
    "user@example.com",
    "192.0.2.1",
    "2001:db8::1",
    "keyid:0a1b",
    "CN=gw1, O=Example, C=XX",
    "C=XX,O=Example\\, Inc.,CN=gw1+OU=lab",
    "2.5.4.3=#0c03677731",
    "%any",
)
#: A Name whose common name is a BIT STRING, which the library does not refuse as it refuses other nonsense.
BIT_STRING = bytes.fromhex("300f 310d 300b 0603550403 0304 00616263")
WORDS = (
    "CN=",
    "O=",
    "C=",
    "OU=",
    "DC=",
    "UID=",
    "2.5.4.3=",
    "#0c03",
    "\\,",
    "+",
    ", ",
    "keyid:",
    "%any",
    "*.",
    "*@",
    "@",
    ".",
)
PATTERNS = tuple(parse_identity_pattern(text) for text in WRITTEN)


def seeds() -> dict[str, bytes]:
    """Type and value of an identity; with the type 0 it is text."""
    found = {f"text-{number}": b"\x00" + text.encode() for number, text in enumerate(WRITTEN)}
    found["bit-string"] = bytes((IdType.ID_DER_ASN1_DN,)) + BIT_STRING
    found |= {f"octets-{number}": _octets(pattern) for number, pattern in enumerate(PATTERNS) if pattern.exact}
    found |= {
        row.name: bytes((row.payload.identity.type,)) + row.payload.identity.value
        for row in ROWS
        if isinstance(row.payload, Identification)
    }
    return found


def _octets(pattern: IdentityPattern) -> bytes:
    assert pattern.exact is not None
    return bytes((pattern.exact.type,)) + pattern.exact.value


def one(octets: bytes) -> None:
    """Text is an identity or a ConfigError; octets can be shown and compared, whatever they are."""
    if not octets:
        return
    if octets[0] == 0:
        _text(octets[1:].decode(errors="replace"))
    else:
        _compare(Identity(IdType(octets[0]), octets[1:]))


def _text(text: str) -> None:
    for parse in (parse_identity, parse_identity_pattern):
        try:
            parsed = parse(text)
        except ConfigError as error:
            require_told(error)
            continue
        if isinstance(parsed, Identity):
            _compare(parsed)
            assert same(parse_identity(text), parsed)
        elif parsed.exact is not None:
            assert parsed.matches(parsed.exact)


def _compare(identity: Identity) -> None:
    shown = identity.text
    assert len(shown) < 1_000
    assert all(" " <= letter <= "~" or letter == "…" for letter in shown), "a stranger's octets reach a terminal"
    assert same(identity, identity)
    for pattern in PATTERNS:
        pattern.matches(identity)
        if pattern.exact is not None:
            assert same(identity, pattern.exact) == same(pattern.exact, identity) == pattern.matches(identity)
