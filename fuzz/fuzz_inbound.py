"""The whole inbound path with valid keys: what a peer that has them can seal, whole or broken, and changed on the way.

It is sealed here by ``cryptography`` and the standard library, so that anything can be put where it belongs: headers,
inner packets, paddings, next headers, lengths (RFC 4303, RFC 4302).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from caponier._plane import Opener, PlaneError, Sealer
from caponier.protocols.esp import VERDICTS
from tests.unit.protocols.samples import inner, ipv4, ipv6

SPI = 0x51A7E001
SIGNED = bytes(range(32))  #: the key of HMAC-SHA2-256
SALTED = bytes(range(100, 120))  #: AES-128-GCM's key, and its salt
CIPHERED = bytes(range(200, 216))  #: AES-CBC's key
GCM, CBC, NONE = (20, 128, SALTED), (12, 128, CIPHERED), (0, 0, b"")
SEALING = {"malformed-inner", "fragment", "too-big", "sequence-exhausted"}  #: why what came out is not sealed again


@dataclass(frozen=True)
class Kind:
    """One octet of the input: protocol, mode, outer family, width of the numbers, cipher; whether it is changed at the end."""

    protocol: Literal["esp", "ah"]
    mode: Literal["tunnel", "transport"]
    family: int
    esn: bool
    is_cbc: bool
    is_changed: bool

    @classmethod
    def of(cls, octet: int) -> Kind:
        return cls(
            "ah" if octet & 1 else "esp",
            "transport" if octet & 2 else "tunnel",
            6 if octet & 4 else 4,
            bool(octet & 8),
            bool(octet & 16),
            bool(octet & 32),
        )

    @property
    def is_bare(self) -> bool:
        return (self.protocol, self.mode) == ("esp", "tunnel")

    def opener(self) -> Opener:
        encryption, length, key = NONE if self.protocol == "ah" else CBC if self.is_cbc else GCM
        is_signed = self.protocol == "ah" or self.is_cbc
        return Opener(
            spi=SPI,
            protocol=self.protocol,
            mode=self.mode,
            encryption=encryption,
            key_length=length,
            encryption_key=key,
            integrity=12 if is_signed else 0,
            integrity_key=SIGNED if is_signed else b"",
            esn=self.esn,
        )


#: What is behind the kind's octet: sequence number, next header, pad length, place and mask of a change, octets of headers.
HEAD = 1 + 8 + 1 + 1 + 2 + 1 + 1


def seeds() -> dict[str, bytes]:
    """Every kind, around packets of either family, a dummy, junk, and headers with options in front."""
    found: dict[str, bytes] = {}
    packets = {
        "ipv4": (4, inner(b"in IPv4")),
        "ipv6": (41, ipv6(17, bytes(8) + b"in IPv6")),
        "udp": (17, bytes.fromhex("1b581b59 000c0000 64617461")),
        "dummy": (59, b"hidden"),
        "junk": (4, b"\x45junk"),
        "nothing": (6, b""),
    }
    for octet in range(32):
        for name, (next_header, content) in packets.items():
            found[f"{octet:02}-{name}"] = piece(octet, next_header=next_header, content=content)
    router_alert, hop_by_hop = bytes.fromhex("94040000"), bytes.fromhex("33000502 00000100")
    for octet in (2, 3, 6, 7, 1, 5):
        headers = hop_by_hop if octet & 4 else router_alert
        found[f"{octet:02}-options"] = piece(octet, next_header=17, headers=headers, content=bytes(12))
    found["changed"] = piece(32, next_header=4, place=9, mask=1, content=inner())
    found["far"] = piece(8, next_header=4, sequence=(7 << 32) + 5, content=inner())
    found["padded"] = piece(0, next_header=4, pad_length=200, content=inner() + bytes(range(1, 201)))
    return found


def piece(
    kind: int,
    *,
    next_header: int,
    sequence: int = 1,
    pad_length: int = 0,
    place: int = 0,
    mask: int = 0,
    headers: bytes = b"",
    content: bytes = b"",
) -> bytes:
    """An input."""
    numbers = bytes((kind,)) + sequence.to_bytes(8) + bytes((next_header, pad_length)) + place.to_bytes(2)
    return numbers + bytes((mask, len(headers))) + headers + content


def one(octets: bytes) -> None:
    """A packet comes out, or a drop of a name that the manual has; once; and what came out can be sealed again."""
    if len(octets) < HEAD:
        return
    kind = Kind.of(octets[0])
    headers, content = octets[HEAD : HEAD + octets[14]], octets[HEAD + octets[14] :]
    sequence = int.from_bytes(octets[1:9])
    sealed = bytearray(_sealed(kind, sequence, octets[9], octets[10], headers[:40], content[:4000]))
    if kind.is_changed:
        sealed[int.from_bytes(octets[11:13]) % len(sealed)] ^= octets[13]
    opener = kind.opener()
    verdict, opened = _open(opener, bytes(sealed))
    assert verdict == "ok" or verdict in VERDICTS
    assert _open(opener, bytes(sealed))[0] != "ok", "a packet came twice"
    if verdict == "ok":
        assert opened
        _seal_again(kind, opened)


def _open(opener: Opener, octets: bytes) -> tuple[str, bytes]:
    try:
        return "ok", opener.open(octets)
    except PlaneError as error:
        return str(error), b""


def _seal_again(kind: Kind, packet: bytes) -> None:
    ends = ("2001:db8::1", "2001:db8::2") if kind.family == 6 else ("192.0.2.1", "192.0.2.2")
    sealer = Sealer(
        spi=SPI,
        protocol="ah",
        mode=kind.mode,
        encryption=0,
        key_length=0,
        encryption_key=b"",
        integrity=12,
        integrity_key=SIGNED,
        local_address=ends[0],
        remote_address=ends[1],
    )
    try:
        sealer.seal(packet)
    except PlaneError as error:
        assert str(error) in SEALING  # noqa: PT017 - this is no test


def _sealed(kind: Kind, sequence: int, next_header: int, pad_length: int, headers: bytes, content: bytes) -> bytes:
    """A packet under the SA's keys; what stands in it is whatever it is."""
    number = sequence if kind.esn else sequence & 0xFFFFFFFF
    if kind.protocol == "ah":
        return _ah(kind, number, next_header, headers, content)
    esp = _esp(kind, number, next_header, pad_length, content)
    return esp if kind.is_bare else _packet(kind, 50, headers, esp)


def _packet(kind: Kind, protocol: int, headers: bytes, content: bytes) -> bytes:
    """With ``headers`` as options, or as extension headers of which the first is a hop-by-hop one."""
    if kind.family == 4:
        return ipv4(protocol, content, options=headers[: len(headers) // 4 * 4])
    return ipv6(0 if headers else protocol, headers + content)


def _esp(kind: Kind, number: int, next_header: int, pad_length: int, content: bytes) -> bytes:
    """RFC 4303 section 2; the least padding, and its length plus ``pad_length``."""
    block = 16 if kind.is_cbc else 4
    padding = bytes(range(1, 1 + -(len(content) + 2) % block))
    plain = content + padding + bytes(((len(padding) + pad_length) % 256, next_header))
    header, upper = SPI.to_bytes(4) + (number & 0xFFFFFFFF).to_bytes(4), (number >> 32).to_bytes(4)
    if not kind.is_cbc:
        iv = number.to_bytes(8)
        associated = header[:4] + upper + header[4:] if kind.esn else header
        return header + iv + AESGCM(SALTED[:16]).encrypt(SALTED[16:] + iv, plain, associated)
    iv = hashlib.sha256(content).digest()[:16]
    encryptor = Cipher(algorithms.AES(CIPHERED), modes.CBC(iv)).encryptor()
    signed = header + iv + encryptor.update(plain) + encryptor.finalize()
    return signed + hmac.digest(SIGNED, signed + (upper if kind.esn else b""), hashlib.sha256)[:16]


def _ah(kind: Kind, number: int, next_header: int, headers: bytes, content: bytes) -> bytes:
    """RFC 4302 section 2; options and extension headers count as they are, which is right for those that do not change."""
    size = 28 if kind.family == 4 else 32
    fixed = bytes((next_header, size // 4 - 2, 0, 0)) + SPI.to_bytes(4) + (number & 0xFFFFFFFF).to_bytes(4)
    packet = bytearray(_packet(kind, 51, headers, fixed + bytes(size - 12) + content))
    covered = bytearray(packet)
    for mutable in (range(1, 2), range(6, 9), range(10, 12)) if kind.family == 4 else (range(4), range(7, 8)):
        covered[mutable.start : mutable.stop] = bytes(len(mutable))
    if kind.family == 6:
        covered[0] = 0x60
    upper = (number >> 32).to_bytes(4) if kind.esn else b""
    at = len(packet) - len(content) - size + 12
    packet[at : at + 16] = hmac.digest(SIGNED, bytes(covered) + upper, hashlib.sha256)[:16]
    return bytes(packet)
