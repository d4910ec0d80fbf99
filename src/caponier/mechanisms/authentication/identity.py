"""Identities (RFC 7296 section 3.5), and patterns that say which are acceptable (the PAD of RFC 4301 section 4.4.3)."""

from __future__ import annotations

import re
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.x509.oid import NameOID

from caponier.doi.ikev2 import IdType
from caponier.errors import ConfigError

_FQDN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_MAIL = re.compile(r"[^@\s\x00-\x1f\x7f\ud800-\udfff]{1,64}@[^@\s\x00-\x1f\x7f\ud800-\udfff]{1,255}")
_NUMBER_AT_THE_END = re.compile(r".*\.[0-9]+\.?")
#: An attribute's name, which has no case (a descriptor of RFC 4512), and what is before it.
_ATTRIBUTE = re.compile(r"(^|(?<!\\)\s*[,+])\s*([A-Za-z0-9][A-Za-z0-9.-]*)\s*=\s*")
_MORE_ATTRIBUTES = {"E": NameOID.EMAIL_ADDRESS, "EMAILADDRESS": NameOID.EMAIL_ADDRESS}  # as other programs write it
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_SHOWN_OCTETS = 128  #: of an identity that a stranger sent
_SHOWN_PARTS = 16  #: of a distinguished name that a stranger sent


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity as the ID payload carries it.

    Attributes:
        type: what the value is written in; any number survives.
        value: octets; 4 or 16 for an address, ASCII for names, DER for distinguished names.
    """

    type: IdType
    value: bytes

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that it is; None for an identity of another kind."""
        is_address = self.type in (IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR) and len(self.value) in (4, 16)
        return ip_address(self.value) if is_address else None

    @property
    def text(self) -> str:
        """As the configuration writes it, safe to print whatever a stranger put into it."""
        match self.type:
            case IdType.ID_IPV4_ADDR | IdType.ID_IPV6_ADDR if len(self.value) in (4, 16):
                return str(ip_address(self.value))
            case IdType.ID_FQDN | IdType.ID_RFC822_ADDR:
                return printable(self.value)
            case IdType.ID_DER_ASN1_DN:
                return _name_text(self.value)
            case IdType.ID_KEY_ID:
                return f"keyid:{_hex(self.value)}"
            case _:
                return f"{self.type.name}:{_hex(self.value)}"


def _hex(value: bytes) -> str:
    return value[:_SHOWN_OCTETS].hex() + ("…" if len(value) > _SHOWN_OCTETS else "")


def printable(value: bytes) -> str:
    """What a stranger wrote, safe to show: ASCII, and not too much of it."""
    text = _UNPRINTABLE.sub("?", value[:_SHOWN_OCTETS].decode("latin-1"))
    return text + ("…" if len(value) > _SHOWN_OCTETS else "")


def _name_text(value: bytes) -> str:
    try:
        return name_text(_decode_name(value))
    except ValueError:
        return f"dn:{_hex(value)}"


def name_text(name: x509.Name) -> str:
    """A distinguished name as RFC 4514 writes it, its most significant part last; safe to print, and short."""
    shown = [rdn.rfc4514_string() for rdn in reversed(name.rdns[-_SHOWN_PARTS:])]
    text = _UNPRINTABLE.sub("?", ", ".join(shown)) or "(no name)"
    is_whole = len(name.rdns) <= _SHOWN_PARTS and len(text) <= 2 * _SHOWN_OCTETS
    return text if is_whole else text[: 2 * _SHOWN_OCTETS] + "…"


def _decode_name(value: bytes) -> x509.Name:
    """A DER Name.

    The library parses names only within a certificate or a request; a request around it takes two lines of DER.

    Raises:
        ValueError: not a Name.
    """
    # CertificationRequest { { 0, subject, RSA key of no octets, [0] {} }, sha256WithRSA, empty signature } (RFC 2986)
    algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")
    key = bytes.fromhex("3012300d06092a864886f70d0101010500030100")
    info = _der(0x30, b"\x02\x01\x00" + value + key + b"\xa0\x00")
    request = _der(0x30, info + algorithm + b"\x03\x01\x00")
    try:
        return x509.load_der_x509_csr(request).subject
    except TypeError as error:  # a BIT STRING where none belongs
        raise ValueError(str(error)) from None


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size) + content


def parse_identity(text: str) -> Identity:
    """Read an identity: an address, ``gw.example.com``, ``user@example.com``, ``CN=gw, O=Example`` or ``keyid:0a1b``.

    Raises:
        ConfigError: none of these.
    """
    text = text.strip()
    if text.lower().startswith("keyid:"):
        return _parse_key_id(text)
    with suppress(ValueError):
        return address_identity(ip_address(text if "%" not in text else ""))  # a zone (RFC 4007) is no part of it
    if "=" in text:
        return Identity(IdType.ID_DER_ASN1_DN, _parse_name(text))
    if _MAIL.fullmatch(text):
        return Identity(IdType.ID_RFC822_ADDR, text.encode())
    if _is_domain_name(text):
        return Identity(IdType.ID_FQDN, text.encode())
    raise ConfigError(
        f"{text!r} is no identity",
        hint='write an address, a name such as "gw.example.com", "user@example.com", "CN=gw, O=Example" or "keyid:0a1b"',
    )


def _is_domain_name(text: str) -> bool:
    """ASCII (RFC 7296 section 3.5), and no mistyped address: no top-level domain is a number (RFC 1123 section 2.1)."""
    return bool(_FQDN.fullmatch(text)) and len(text) < 254 and not _NUMBER_AT_THE_END.fullmatch(text)


def _parse_key_id(text: str) -> Identity:
    try:
        value = bytes.fromhex(text[len("keyid:") :])
    except ValueError:
        value = b""
    if not value:
        raise ConfigError(
            f"{text!r} is no key identifier", hint='write "keyid:" and an even number of hexadecimal digits'
        )
    return Identity(IdType.ID_KEY_ID, value)


def _parse_name(text: str) -> bytes:
    """A distinguished name, its most significant part last as RFC 4514 has it; blanks may stand around its signs."""
    spelled = _ATTRIBUTE.sub(lambda found: f"{found[1].strip()}{found[2].upper()}=", text)
    try:
        return x509.Name.from_rfc4514_string(spelled, _MORE_ATTRIBUTES).public_bytes()
    except ValueError as error:
        cause = str(error) or "an attribute that we do not know, or not NAME=VALUE"
        raise ConfigError(
            f"{text!r} is no distinguished name: {cause}",
            hint='write it as "CN=gw, O=Example"; an attribute without a short name by its number, "2.5.4.5=17"',
        ) from None


@dataclass(frozen=True, slots=True)
class IdentityPattern:
    """Which identities are acceptable.

    Attributes:
        text: as written: an identity, ``*.example.com``, ``*@example.com``, or ``%any``.
        exact: the identity where it is just one; None for a pattern.
    """

    text: str
    exact: Identity | None = None

    @property
    def specificity(self) -> int:
        """The larger, the fewer identities match: for the choice of the best entry."""
        if self.exact is not None:
            return 1_000_000
        return 0 if self.text == "%any" else len(self.text)

    def matches(self, identity: Identity) -> bool:
        """Whether an identity is acceptable. Names compare without case (RFC 7296 section 3.5, RFC 4343)."""
        if self.exact is not None:
            return same(identity, self.exact)
        if self.text == "%any":
            return True
        suffix = self.text[1:].lower().encode()
        kind = IdType.ID_RFC822_ADDR if suffix.startswith(b"@") else IdType.ID_FQDN
        return identity.type == kind and identity.value.lower().endswith(suffix) and _is_well_formed(identity)


def _is_well_formed(identity: Identity) -> bool:
    """Whether a stranger's name is one that could stand in a configuration: what a star stands for has no terminators in
    it (RFC 7296 section 3.5), and is nothing of another kind."""
    try:
        return parse_identity(identity.value.decode()) == identity
    except (UnicodeDecodeError, ConfigError):
        return False


def same(one: Identity, other: Identity) -> bool:
    """Whether two identities are the same: of one type, names without regard to case, all else octet by octet.

    A mail address compares without case as a whole (RFC 4945 section 3.1.3), also the part before the @.

    Distinguished names compare by what they say, not by how each attribute's string is encoded (RFC 5280 section 7.1).
    """
    return one == other or (one.type == other.type and sameness(one) == sameness(other))


def sameness(identity: Identity) -> Hashable:
    """What two identities have in common that are the same, and no others: for an index (see :func:`same`)."""
    value: Hashable = identity.value
    match identity.type:
        case IdType.ID_FQDN | IdType.ID_RFC822_ADDR:
            value = identity.value.lower()  # of ASCII only
        case IdType.ID_DER_ASN1_DN:
            with suppress(ValueError):
                value = comparable_name(_decode_name(identity.value))
        case _:
            pass
    return (identity.type, value)


ComparableName = tuple[frozenset[tuple[str, str | bytes]], ...]


def comparable_name(name: x509.Name) -> ComparableName:
    """A distinguished name in a form that compares as RFC 5280 section 7.1 has it: case and inner spaces are folded."""
    return tuple(
        frozenset((attribute.oid.dotted_string, _folded(attribute.value)) for attribute in rdn) for rdn in name.rdns
    )


def _folded(value: str | bytes) -> str | bytes:
    return value if isinstance(value, bytes) else " ".join(value.casefold().split())


def parse_identity_pattern(text: str) -> IdentityPattern:
    """Read a pattern: an identity, ``*.example.com``, ``*@example.com``, or ``%any``.

    Raises:
        ConfigError: none of these.
    """
    text = text.strip()
    if text == "%any":
        return IdentityPattern(text)
    if text.startswith(("*.", "*@")) and len(text) > 2 and _is_domain_name(f"x.{text[2:]}"):
        return IdentityPattern(text)
    if "*" in text:
        raise ConfigError(
            f"{text!r} is no pattern of identities", hint='a star may only stand for the first part: "*.example.com"'
        )
    identity = parse_identity(text)
    return IdentityPattern(identity.text, identity)


def address_identity(address: IPv4Address | IPv6Address) -> Identity:
    """The identity that an address is."""
    kind = IdType.ID_IPV4_ADDR if address.version == 4 else IdType.ID_IPV6_ADDR
    return Identity(kind, address.packed)
