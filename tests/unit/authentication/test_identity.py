"""Identities (RFC 7296 section 3.5) and patterns of them (RFC 4301 section 4.4.3)."""

from __future__ import annotations

import string
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import IdType
from caponier.errors import ConfigError
from caponier.mechanisms.authentication.identity import (
    Identity,
    IdentityPattern,
    address_identity,
    comparable_name,
    name_text,
    parse_identity,
    parse_identity_pattern,
    same,
)

FQDN, MAIL, DN, KEY_ID = IdType.ID_FQDN, IdType.ID_RFC822_ADDR, IdType.ID_DER_ASN1_DN, IdType.ID_KEY_ID
GW_IN_EXAMPLE = bytes.fromhex("301f3110300e060355040a0c074578616d706c65310b300906035504030c026777")  # O, then CN


# -- what the configuration writes

IDENTITIES = [
    ("192.0.2.1", IdType.ID_IPV4_ADDR, bytes([192, 0, 2, 1])),
    ("2001:db8::1", IdType.ID_IPV6_ADDR, bytes.fromhex("20010db8000000000000000000000001")),
    ("::ffff:192.0.2.1", IdType.ID_IPV6_ADDR, bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])),
    ("gw.example.com", FQDN, b"gw.example.com"),
    ("GW.Example.com", FQDN, b"GW.Example.com"),
    ("gw.example.com.", FQDN, b"gw.example.com."),
    ("gateway", FQDN, b"gateway"),
    ("_ipsec.example.com", FQDN, b"_ipsec.example.com"),
    ("xn--tmonesimerkki-bfbb.example.net", FQDN, b"xn--tmonesimerkki-bfbb.example.net"),
    ("192.0.2.1.example.com", FQDN, b"192.0.2.1.example.com"),
    ("17", FQDN, b"17"),
    ("  gw.example.com ", FQDN, b"gw.example.com"),
    ("user@example.com", MAIL, b"user@example.com"),
    ("joe+vpn@realm", MAIL, b"joe+vpn@realm"),
    ("j\u00f6rg@ex\u00e4mple.com", MAIL, "j\u00f6rg@ex\u00e4mple.com".encode()),
    ("keyid:0a1b", KEY_ID, b"\x0a\x1b"),
    ("KeyID:0A1B", KEY_ID, b"\x0a\x1b"),
    ("CN=gw, O=Example", DN, GW_IN_EXAMPLE),
    ("CN=gw,O=Example", DN, GW_IN_EXAMPLE),
    ("cn = gw , o=Example", DN, GW_IN_EXAMPLE),
    ("2.5.4.3=gw, 2.5.4.10=Example", DN, GW_IN_EXAMPLE),
]


@pytest.mark.parametrize(("text", "kind", "value"), IDENTITIES, ids=[row[0] for row in IDENTITIES])
def test_identities(text: str, kind: IdType, value: bytes) -> None:
    """RFC 7296 section 3.5, each type by its look; the mail address as UTF-8, the host name in ASCII (IDNA)."""
    assert parse_identity(text) == Identity(kind, value)


NO_IDENTITIES = [
    "",
    " ",
    ".",
    "..",
    "gw..example.com",
    ".example.com",
    "-gw.example.com",
    "gw example.com",
    "g\u00e4teway.example.com",
    "a" * 64 + ".example.com",
    ".".join(["a" * 60] * 5),
    "gw.example.com\0",
    "gw\0.example.com",
    "gw.example.com\r.x",
    "*.example.com",
    "%any",
    "192.0.2.256",
    "192.0.2",
    "192.0.2.01",
    "192.0.2.1.",
    "192.0.2.0/24",
    "192.0.2.1-192.0.2.9",
    "2001:db8::/32",
    "2001:db8::1-2001:db8::9",
    "2001:db8::g",
    "fe80::1%eth0",
    "@example.com",
    "user@",
    "user@@example.com",
    "us er@example.com",
    "user\0@example.com",
    "user\r@example.com",
    "user\x7f@example.com",
    "user@example.com\ud800",
    "u" * 65 + "@example.com",
    "keyid:",
    "keyid:0",
    "keyid:0g",
    "=",
    "CN=",
    "CN=gw,",
    "CN=gw,,O=x",
    "CN=gw, O",
    "foo=bar",
    "CN=gw, foo=bar",
    "C=DEU",
    "CN=#zz",
    "CN=\\ff",
    "CN=" + "x" * 65,
    "9.9.9=x",
]


@pytest.mark.parametrize("text", NO_IDENTITIES)
def test_what_is_no_identity(text: str) -> None:
    """RFC 7296 section 3.5: no terminators; RFC 1123 section 2.1: a mistyped address is no host name."""
    with pytest.raises(ConfigError) as caught:
        parse_identity(text)
    assert repr(text.strip()) in str(caught.value) or repr(text) in str(caught.value)
    assert caught.value.hint
    assert not str(caught.value).endswith(": ")


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    with suppress(ConfigError):
        assert parse_identity(text).value
    with suppress(ConfigError):
        assert parse_identity_pattern(text).text


NAMES = 'abC09,+="\\<>;# \u00e9\u4e2d'
PARTS = st.tuples(
    st.sampled_from(["CN", "O", "OU", "L", "ST", "UID", "DC", "2.5.4.5"]), st.text(NAMES, min_size=1, max_size=12)
)


@settings(deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=5))
def test_distinguished_names_round_trip(parts: list[tuple[str, str]]) -> None:
    """RFC 4514 section 2.4: whatever stands in a name can be written, and is the same name when it is read again."""
    assume(all(value == value.strip() for _, value in parts))
    numbers = {"CN": "2.5.4.3", "O": "2.5.4.10", "OU": "2.5.4.11", "L": "2.5.4.7", "ST": "2.5.4.8"}
    numbers |= {"UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25"}
    attributes = [x509.NameAttribute(x509.ObjectIdentifier(numbers.get(kind, kind)), value) for kind, value in parts]
    name = x509.Name(attributes)
    assert same(parse_identity(name.rfc4514_string()), Identity(DN, name.public_bytes()))


def test_a_name_is_written_as_rfc_4514_has_it() -> None:
    """RFC 4514 section 2.1: the last RDN of the DER first; several values of one RDN with a plus."""
    identity = parse_identity("CN=gw+UID=7, OU=VPN, O=Example, C=DE")
    name = x509.Name.from_rfc4514_string("CN=gw+UID=7,OU=VPN,O=Example,C=DE")
    assert identity.value == name.public_bytes()
    assert [rdn.rfc4514_string() for rdn in name.rdns] == ["C=DE", "O=Example", "OU=VPN", "CN=gw+UID=7"]
    assert identity.text in ("CN=gw+UID=7, OU=VPN, O=Example, C=DE", "UID=7+CN=gw, OU=VPN, O=Example, C=DE")


def test_signs_within_a_value() -> None:
    """RFC 4514 section 2.4: a sign behind a backslash parts nothing."""
    for text, value in (
        ("CN=a\\, b=c, O=x", "a, b=c"),
        ("CN=a\\+b=c, O=x", "a+b=c"),
        ("CN=a=b, O=x", "a=b"),
        ("CN=a\\ , O=x", "a "),
    ):
        name = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x"), x509.NameAttribute(NameOID.COMMON_NAME, value)]
        )
        assert parse_identity(text).value == name.public_bytes()


@pytest.mark.parametrize("attribute", ["E", "e", "emailAddress", "EMAILADDRESS", "1.2.840.113549.1.9.1"])
def test_mail_addresses_in_names(attribute: str) -> None:
    """As OpenSSL, strongSwan and RFC 4514 write it; the string's type is IA5String (RFC 5280 appendix A.1)."""
    identity = parse_identity(f"{attribute}=user@example.com, CN=gw")
    assert b"\x16\x10user@example.com" in identity.value
    assert parse_identity(identity.text) == identity


# -- texts, also of what a stranger sent


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "2001:db8::1",
        "gw.example.com",
        "user@example.com",
        "keyid:0a1b",
        "CN=gw, O=Example",
        "CN=a\\, b, O=x",
    ],
)
def test_the_text_is_what_was_read(text: str) -> None:
    identity = parse_identity(text)
    assert identity.text == text
    assert parse_identity(identity.text) == identity


ANY_IDENTITY = st.builds(Identity, st.builds(IdType, st.integers(0, 255)), st.binary(max_size=300))
A_NAME = st.builds(Identity, st.sampled_from([FQDN, MAIL, DN, KEY_ID]), st.binary(max_size=300))


@settings(deadline=None)
@given(ANY_IDENTITY | A_NAME)
def test_texts_are_safe(identity: Identity) -> None:
    """Class G: whatever a stranger puts into an identity, it is one short line of printable ASCII (class of CVE-2013-2052)."""
    text = identity.text
    assert set(text) <= {*string.printable[:95], "…"}
    assert len(text) < 300


def test_texts_of_what_a_stranger_sent() -> None:
    assert Identity(FQDN, b"gw\0.example\n\x1b[2J\xff").text == "gw?.example??[2J?"
    assert Identity(FQDN, b"a" * 5000).text == "a" * 128 + "…"
    assert Identity(KEY_ID, b"\xaa" * 5000).text == "keyid:" + "aa" * 128 + "…"
    assert Identity(DN, b"\x30\x05junk!").text == "dn:30056a756e6b21"
    assert Identity(DN, b"").text == "dn:"
    assert Identity(IdType.ID_IPV4_ADDR, b"\1\2").text == "ID_IPV4_ADDR:0102"
    assert Identity(IdType(200), b"\1\2").text == "UNKNOWN_200:0102"
    assert Identity(DN, x509.Name([]).public_bytes()).text == "(no name)"


def test_a_name_of_many_parts_is_cut() -> None:
    """A stranger's name may have thousands; what is shown of it are the ones that say most, and not many."""
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {each}") for each in range(3000)])
    identity = Identity(DN, name.public_bytes())
    assert identity.text == name_text(name)
    assert identity.text.startswith("OU=unit 2999, OU=unit 2998, ")
    assert identity.text.endswith("…")
    assert len(identity.text) <= 257


def test_control_characters_in_a_name() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw\n\x1b[31m\u202e")])
    assert name_text(name) == "CN=gw??[31m?"


# -- DER of names (ID_DER_ASN1_DN)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x80\0\0",
        b"\x30\x81\x1f" + GW_IN_EXAMPLE[2:],
        GW_IN_EXAMPLE + b"\0",
        GW_IN_EXAMPLE * 2,
        GW_IN_EXAMPLE[:-1],
        b"\x31" + GW_IN_EXAMPLE[1:],
        bytes([0x30, 0x33]) + GW_IN_EXAMPLE[2:],
        bytes([0x30, 0x14]),
        bytes.fromhex("300d310b300906035504030314"),
        bytes.fromhex("300d310b30090603550403030200ff"),
        bytes.fromhex("300d310b300906035504030c02ffff"),
    ],
)
def test_octets_that_are_no_name(octets: bytes) -> None:
    """RFC 5280 section 4.1.2.4: nothing behind, nothing swallowed, no BER; such an identity is only itself."""
    identity = Identity(DN, octets)
    assert identity.text == f"dn:{octets.hex()}"
    assert same(identity, Identity(DN, octets))
    assert not same(identity, parse_identity("CN=gw, O=Example"))
    assert not same(parse_identity("CN=gw, O=Example"), identity)


@settings(deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=120))
def test_junk_names(one: bytes, other: bytes) -> None:
    assume(one != other)
    assert not same(Identity(DN, one), Identity(DN, other)) or b"\x31" in one


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 32), st.integers(0, 255)), min_size=1, max_size=3))
def test_mutated_names(changes: list[tuple[int, int]]) -> None:
    octets = bytearray(GW_IN_EXAMPLE)
    for position, value in changes:
        octets[position] = value
    identity = Identity(DN, bytes(octets))
    assert set(identity.text) <= {*string.printable[:95], "…"}
    if same(identity, Identity(DN, GW_IN_EXAMPLE)):
        assert identity.text.casefold() == "cn=gw, o=example"


def _name(*values: str, kind: _ASN1Type | None = None) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, value, kind) for value in values])


def test_names_compare_by_what_they_say() -> None:
    """RFC 5280 section 7.1 and RFC 4518: case, superfluous blanks and the kind of string do not count."""
    plain = Identity(DN, _name("Example Inc").public_bytes())
    for other in (
        _name("EXAMPLE INC"),
        _name("  Example   Inc "),
        _name("Example Inc", kind=_ASN1Type.PrintableString),
        _name("Example Inc", kind=_ASN1Type.BMPString),
        _name("Example Inc", kind=_ASN1Type.T61String),
    ):
        assert same(plain, Identity(DN, other.public_bytes()))
        assert comparable_name(other) == comparable_name(_name("Example Inc"))


def test_names_that_differ() -> None:
    """No prefix, no other order, no attribute more; a BIT STRING is not the text that looks like it (CVE-2013-6075)."""
    full = x509.Name.from_rfc4514_string("CN=gw,OU=VPN,O=Example")
    for other in (
        "OU=VPN,O=Example",
        "O=Example",
        "CN=gw",
        "CN=gw,O=Example",
        "CN=gw,OU=VPN,O=Example,C=DE",
        "OU=VPN,CN=gw,O=Example",
        "CN=gw+OU=VPN,O=Example",
        "CN=g w,OU=VPN,O=Example",
        "CN=gw\\00,OU=VPN,O=Example",
    ):
        assert not same(Identity(DN, full.public_bytes()), parse_identity(other)), other
    bits = x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\0\xab", _ASN1Type.BitString)])
    text = x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, "00ab")])
    assert comparable_name(bits) != comparable_name(text)
    assert comparable_name(bits) == comparable_name(bits)


# -- sameness


def test_types_must_agree() -> None:
    """RFC 7296 section 3.5: the same octets of another type are another identity."""
    for one in (FQDN, MAIL, KEY_ID, DN, IdType(77)):
        for other in (FQDN, MAIL, KEY_ID, DN, IdType(77)):
            assert same(Identity(one, b"x"), Identity(other, b"x")) == (one == other)


SAME = [
    (FQDN, b"gw.example.com", b"GW.EXAMPLE.COM", True),
    (FQDN, b"gw.example.com", b"gw.example.com.", False),
    (FQDN, b"gw.example.com", b"gw.example.com\0", False),
    (FQDN, b"gw.example.com", b"gw.example.co", False),
    (FQDN, "\u212a.example.com".encode(), b"k.example.com", False),
    (FQDN, "\u00e9.example.com".encode(), "\u00c9.example.com".encode(), False),
    (FQDN, b"\xe9.example.com", b"\xc9.example.com", False),
    (MAIL, b"user@example.com", b"USER@EXAMPLE.COM", True),
    (MAIL, b"user@example.com", b"user@example.com ", False),
    (MAIL, b"user@example.com", b"user2@example.com", False),
    (KEY_ID, b"key", b"KEY", False),
    (KEY_ID, b"key", b"key", True),
    (IdType.ID_IPV4_ADDR, b"AAAA", b"aaaa", False),
    (IdType.ID_DER_ASN1_GN, b"A", b"a", False),
    (IdType(200), b"A", b"a", False),
]


@pytest.mark.parametrize(("kind", "one", "other", "expected"), SAME)
def test_sameness(kind: IdType, one: bytes, other: bytes, *, expected: bool) -> None:
    """RFC 4945 sections 3.1.1 to 3.1.3: host names and mail addresses without case, of ASCII only; bits in all else."""
    assert same(Identity(kind, one), Identity(kind, other)) is expected
    assert same(Identity(kind, other), Identity(kind, one)) is expected


@settings(deadline=None)
@given(ANY_IDENTITY)
def test_everybody_is_himself(identity: Identity) -> None:
    assert same(identity, identity)
    assert IdentityPattern(identity.text, identity).matches(identity)
    assert IdentityPattern("%any").matches(identity)


@settings(deadline=None)
@given(st.ip_addresses())
def test_addresses(address: IPv4Address | IPv6Address) -> None:
    identity = address_identity(address)
    assert identity == parse_identity(str(address))
    assert ip_address(identity.value) == address
    assert identity.text == str(address)


# -- patterns


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("%any", "gw.example.com", True),
        ("%any", "CN=gw, O=Example", True),
        ("gw.example.com", "GW.example.COM", True),
        ("gw.example.com", "a.gw.example.com", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", False),
        ("CN=gw, O=Example", "cn=GW, o=EXAMPLE", True),
        ("CN=gw, O=Example", "O=Example", False),
        ("keyid:0a1b", "keyid:0A1B", True),
        ("*.example.com", "gw.example.com", True),
        ("*.example.com", "GW.EXAMPLE.COM", True),
        ("*.Example.Com", "gw.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "gw.example.com.", False),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "gw.example.com.evil.example", False),
        ("*.example.com", "user@gw.example.com", False),
        ("*.example.com", "CN=gw.example.com", False),
        ("*@example.com", "user@example.com", True),
        ("*@example.com", "User@Example.com", True),
        ("*@example.com", "user@gw.example.com", False),
        ("*@example.com", "user@badexample.com", False),
        ("*@example.com", "gw.example.com", False),
    ],
)
def test_patterns(pattern: str, text: str, *, matches: bool) -> None:
    """RFC 4301 section 4.4.3.1: "*.example.com" and "*@example.com" match by the end of the name."""
    assert parse_identity_pattern(pattern).matches(parse_identity(text)) is matches


@pytest.mark.parametrize(
    ("pattern", "kind", "value"),
    [
        ("*.example.com", FQDN, b".example.com"),
        ("*.example.com", FQDN, b"..example.com"),
        ("*.example.com", FQDN, b"gw\0.example.com"),
        ("*.example.com", FQDN, b"gw\r\n.example.com"),
        ("*.example.com", FQDN, b"g w.example.com"),
        ("*.example.com", FQDN, b"*.example.com"),
        ("*.example.com", FQDN, b"\xff.example.com"),
        ("*.example.com", FQDN, "g\u00e4.example.com".encode()),
        ("*.example.com", FQDN, b"a" * 64 + b".example.com"),
        ("*.example.com", FQDN, b"a." * 200 + b"example.com"),
        ("*.example.com", FQDN, b"evil@gw.example.com"),
        ("*.example.com", KEY_ID, b"gw.example.com"),
        ("*.example.com", MAIL, b"gw.example.com"),
        ("*@example.com", MAIL, b"@example.com"),
        ("*@example.com", MAIL, b"user\0@example.com"),
        ("*@example.com", MAIL, b"user\n@example.com"),
        ("*@example.com", MAIL, b"a@b@example.com"),
        ("*@example.com", MAIL, b"\xff@example.com"),
        ("*@example.com", FQDN, b"user@example.com"),
    ],
)
def test_a_star_stands_for_a_name_and_nothing_else(pattern: str, kind: IdType, value: bytes) -> None:
    """RFC 7296 section 3.5: "The string MUST NOT contain any terminators (e.g., NULL, CR, etc.)"."""
    assert not parse_identity_pattern(pattern).matches(Identity(kind, value))


def test_a_star_stands_for_utf_8_in_mail() -> None:
    """RFC 7296 section 3.5: "treat this field as UTF-8 encoded text, not as pure ASCII"."""
    assert parse_identity_pattern("*@example.com").matches(Identity(MAIL, "j\u00f6rg@example.com".encode()))


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_junk_before_the_end_of_a_pattern(junk: bytes) -> None:
    """Whoever matches has a name that the configuration could spell out."""
    for pattern, kind, end in (("*.example.com", FQDN, b".example.com"), ("*@example.com", MAIL, b"@example.com")):
        identity = Identity(kind, junk + end)
        if parse_identity_pattern(pattern).matches(identity):
            assert parse_identity(identity.value.decode()) == identity


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "*.",
        "*@",
        "**.example.com",
        "gw.*.com",
        "gw*.example.com",
        "*gw.example.com",
        "user@*",
        "*@*",
        "*.*",
        "CN=*, O=Example",
        "*.10",
        "*@-example.com",
        "192.0.2.*",
        "%",
        "%anyone",
        "",
        "192.0.2.0/24",
        "2001:db8::/32",
        "192.0.2.1-192.0.2.9",
    ],
)
def test_patterns_that_are_none(text: str) -> None:
    """A star stands for the first part of a name only; subnets and ranges are no identities in IKEv2."""
    with pytest.raises(ConfigError) as caught:
        parse_identity_pattern(text)
    assert repr(text) in str(caught.value)
    assert caught.value.hint


def test_the_narrower_pattern_wins() -> None:
    """RFC 4945 section 3.1.10: "MUST also use the most specific policy"."""
    order = ["gw.a.example.com", "*.a.example.com", "*.example.com", "*.com", "%any"]
    specificities = [parse_identity_pattern(text).specificity for text in order]
    assert specificities == sorted(specificities, reverse=True)
    assert len(set(specificities)) == len(order)


def test_patterns_show_what_was_written() -> None:
    for text in ("%any", "*.example.com", "gw.example.com", "CN=gw, O=Example"):
        assert parse_identity_pattern(f" {text} ").text == text
    assert parse_identity_pattern("gw.example.com").exact == parse_identity("gw.example.com")
    assert parse_identity_pattern("*.example.com").exact is None
