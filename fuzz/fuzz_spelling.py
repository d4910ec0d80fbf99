"""Proposals and traffic selectors as people write them (and as they may be pasted from anywhere)."""

from __future__ import annotations

from caponier.errors import ConfigError
from caponier.mechanisms.negotiation.selectors import TrafficSelector, contains, format_selector, parse_selector
from caponier.mechanisms.negotiation.spelling import (
    format_proposal,
    parse_ah_proposal,
    parse_esp_proposal,
    parse_ike_proposal,
)
from caponier.mechanisms.negotiation.transforms import Proposal
from caponier.mechanisms.negotiation.weakness import weak_algorithms
from fuzz.telling import require_told

PROPOSALS = (
    "aes256gcm16-prfsha384-ecp384",
    "aes256-aes128-sha256-sha512-x25519-modp2048",
    "aes128gcm16-x25519-ke1_mlkem768",
    "chacha20poly1305-noesn-esn",
    "3des-md5-modp768",
    "null-sha1",
    "aes128gmac",
    "sha256-esn",
)
SELECTORS = (
    "10.1.0.0/16",
    "10.1.0.5",
    "10.1.0.1-10.1.0.9",
    "2001:db8::/32",
    "10.1.0.0/16[tcp/443]",
    "10.1.0.5[udp/1000-2000]",
    "10.1.0.5[icmp/3(4)-5]",
    "::1[ipv6-icmp/128]",
    "10.1.0.5[tcp/opaque]",
    "0.0.0.0/0[47]",
    "::/0[any/53]",
)
WORDS = (
    "aes256",
    "aes128gcm16",
    "sha256",
    "prfsha384",
    "x25519",
    "modp2048",
    "ke1_mlkem768",
    "esn",
    "noesn",
    "-",
    "[tcp/",
    "[icmp/",
    "(4)",
    "]",
    "/",
    "::",
)
PARSERS = (parse_ike_proposal, parse_esp_proposal, parse_ah_proposal, parse_selector)


def seeds() -> dict[str, bytes]:
    """Which parser, and what it reads."""
    found = {
        f"proposal-{parser}-{number}": bytes((parser,)) + text.encode()
        for number, text in enumerate(PROPOSALS)
        for parser in range(3)
    }
    return found | {f"selector-{number}": b"\x03" + text.encode() for number, text in enumerate(SELECTORS)}


def one(octets: bytes) -> None:
    """A value or a ConfigError; a value is read again from what we write of it."""
    if not octets:
        return
    parse, text = PARSERS[octets[0] % 4], octets[1:].decode(errors="replace")
    try:
        parsed = parse(text)
    except ConfigError as error:
        require_told(error)
        return
    if isinstance(parsed, TrafficSelector):
        assert contains(parsed, parsed)
        assert parse_selector(format_selector(parsed)) == parsed
    else:
        assert isinstance(parsed, Proposal)
        weak_algorithms(parsed)
        assert parse(format_proposal(parsed)) == parsed
