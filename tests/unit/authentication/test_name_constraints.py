"""Which name is within which subtree (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.errors import AuthenticationFailed
from caponier.mechanisms.authentication.certificates import verify_chain
from caponier.mechanisms.authentication.identity import parse_identity
from caponier.mechanisms.authentication.name_constraints import NameConstraintsState, UnusableConstraint
from tests.unit.authentication import pki
from tests.unit.authentication.pki import NOW, SAN, Entity, Extension, der

ROOT = pki.authority("Root")


def state(permitted: list[str], excluded: list[str]) -> NameConstraintsState:
    made = NameConstraintsState()
    extension = pki.constraints(permitted, excluded)[0]
    assert isinstance(extension, x509.NameConstraints)
    made.add(extension)
    return made


def subject_of(*names: str, subject: x509.Name | None = None) -> x509.Certificate:
    return pki.end_entity(ROOT, *names, subject=x509.Name([]) if subject is None else subject).certificate


#: A constraint, names within it, names outside of it.
SUBTREES = [
    # "Any DNS name that can be constructed by simply adding zero or more labels to the left-hand side"
    (
        "example.com",
        ["example.com", "gw.example.com", "a.b.example.com", "GW.EXAMPLE.COM"],
        [
            "example.org",
            "badexample.com",
            "com",
            "example.com.org",
            "example",
            "gw.example.com.evil",
            "xexample.com",
        ],
    ),
    ("EXAMPLE.com", ["gw.example.COM"], ["gw.example.org"]),
    (".example.com", ["gw.example.com", "a.b.example.com"], ["example.com", "badexample.com"]),
    ("gw.example.com", ["gw.example.com", "a.gw.example.com"], ["example.com", "xgw.example.com"]),
    ("", ["anything.example.net", "localhost"], []),
    # "a particular mailbox, all addresses at a particular host, or all mailboxes in a domain"
    (
        "mail:user@example.com",
        ["user@example.com", "USER@Example.COM"],
        [
            "other@example.com",
            "user@gw.example.com",
            "xuser@example.com",
            "user@example.com.org",
        ],
    ),
    ("mail:example.com", ["user@example.com", "other@EXAMPLE.com"], ["user@gw.example.com", "user@example.org"]),
    ("mail:.example.com", ["user@gw.example.com", "user@a.b.example.com"], ["user@example.com", "user@badexample.com"]),
    # RFC 4632 style
    ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "9.255.255.255", "2001:db8::10"]),
    ("192.0.2.1/32", ["192.0.2.1"], ["192.0.2.2", "192.0.2.0"]),
    ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]),
    ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db9::", "::ffff:10.0.0.1", "10.0.0.1"]),
    ("::/0", ["::1", "::ffff:10.0.0.1"], ["10.0.0.1"]),
    # by RDN, and whole ones
    (
        "dir:CN=A,O=Example",
        ["dir:CN=A,O=Example", "dir:OU=x,CN=a,O=EXAMPLE"],
        [
            "dir:O=Example",
            "dir:CN=AB,O=Example",
            "dir:CN=A",
            "dir:CN=A,O=Other",
            "dir:O=Example,CN=A",
            "dir:CN=A,OU=x,O=Example",
        ],
    ),
]


@pytest.mark.parametrize(("constraint", "within", "outside"), SUBTREES, ids=[row[0] or "(empty)" for row in SUBTREES])
def test_subtrees(constraint: str, within: list[str], outside: list[str]) -> None:
    """RFC 5280 section 4.2.1.10: what is permitted when listed as such is refused when excluded, and the reverse."""
    permitted, excluded = state([constraint], []), state([], [constraint])
    for name in within:
        assert permitted.first_outside(subject_of(name)) is None, name
        assert excluded.first_outside(subject_of(name)) is not None, name
    for name in outside:
        assert permitted.first_outside(subject_of(name)) is not None, name
        assert excluded.first_outside(subject_of(name)) is None, name


def test_names_of_another_kind_are_free() -> None:
    """ "If no name of the type is in the certificate, the certificate is acceptable"; and other kinds are not meant."""
    for constraint, name in (
        ("example.com", "192.0.2.1"),
        ("10.0.0.0/8", "gw.example.com"),
        ("mail:example.com", "gw.example.org"),
        ("dir:O=Other", "gw.example.com"),
        ("example.com", "uri:https://example.org/"),
    ):
        assert state([constraint], []).first_outside(subject_of(name)) is None


def test_one_of_several_permitted() -> None:
    both = state(["example.com", "example.org", "10.0.0.0/8"], [])
    assert both.first_outside(subject_of("gw.example.com", "gw.example.org", "10.1.2.3")) is None
    assert both.first_outside(subject_of("gw.example.com", "gw.example.net", "10.1.2.3")) == "gw.example.net"
    assert both.first_outside(subject_of("gw.example.com", "192.0.2.1")) == "192.0.2.1"


def test_excluded_goes_before_permitted() -> None:
    """RFC 5280 section 4.2.1.10: "regardless of information appearing in the permittedSubtrees"."""
    made = state(["example.com"], ["secret.example.com"])
    assert made.first_outside(subject_of("gw.example.com")) is None
    assert made.first_outside(subject_of("gw.secret.example.com")) == "gw.secret.example.com"
    assert made.first_outside(subject_of("SECRET.Example.com")) == "SECRET.Example.com"


def test_every_name_is_looked_at() -> None:
    """The last one as well as the first, the subject as well as the alternative names."""
    made = state(["dir:O=Example", "example.com"], [])
    good = pki.name("gw")
    assert made.first_outside(subject_of("gw.example.com", subject=good)) is None
    assert made.first_outside(subject_of("gw.example.com", subject=pki.name("gw", "Other"))) == "CN=gw, O=Other"
    names = [f"{each}.example.com" for each in range(50)]
    assert made.first_outside(subject_of(*names, "last.example.org", subject=good)) == "last.example.org"


def _with_mail(*addresses: str, more: tuple[Extension, ...] = ()) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, each) for each in addresses])
    return pki.issue(subject, pki.key("p256", "mail"), ROOT, more).certificate


def test_mail_addresses_in_the_subject() -> None:
    """ "When constraints are imposed on the rfc822Name name form, but the certificate does not include a subject
    alternative name, the rfc822Name constraint MUST be applied to the attribute of type emailAddress".
    """
    permitted, excluded = state(["mail:example.com"], []), state([], ["mail:example.com"])
    inside, outside = _with_mail("user@example.com"), _with_mail("user@example.org")
    assert permitted.first_outside(inside) is None
    assert permitted.first_outside(outside) == "user@example.org"
    assert excluded.first_outside(inside) == "user@example.com"
    assert excluded.first_outside(outside) is None
    assert permitted.first_outside(_with_mail("user@example.com", "user@example.org")) == "user@example.org"
    assert permitted.first_outside(_with_mail("user@example.org", more=(pki.alternatives("x.example"),))) is None


def test_mail_addresses_in_the_subject_that_are_none() -> None:
    """What cannot be compared is no match for what is permitted, and may be what is excluded."""
    for made in (state(["mail:example.com"], []), state([], ["mail:example.com"])):
        for odd in ("User <user@example.com>", "@", "user@exämple.com"):
            assert made.first_outside(_with_mail(odd)) == odd
    assert state(["example.com"], []).first_outside(_with_mail("@")) is None


def test_an_empty_mail_constraint() -> None:
    """The RFC does not say; as an empty host name, it stands for all: so nothing slips through where it excludes."""
    made = NameConstraintsState()
    made.add(x509.NameConstraints(None, [x509.RFC822Name._init_without_validation("")]))
    assert made.first_outside(subject_of("user@example.com")) == "user@example.com"


def test_a_whole_directory_excluded() -> None:
    made = NameConstraintsState()
    made.add(x509.NameConstraints(None, [x509.DirectoryName(x509.Name([]))]))
    assert made.first_outside(subject_of("gw.example.com")) is None
    assert made.first_outside(subject_of("gw.example.com", subject=pki.name("gw"))) == "CN=gw, O=Example"


def test_nothing_demanded() -> None:
    assert NameConstraintsState().first_outside(subject_of("gw.example.com")) is None


@pytest.mark.parametrize(
    "name",
    [
        x509.UniformResourceIdentifier("example.com"),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
        x509.OtherName(ObjectIdentifier("1.2.3"), b"\5\0"),
    ],
)
def test_constraints_that_we_do_not_compare(name: x509.GeneralName) -> None:
    """RFC 5280 section 4.2.1.10: "either process the constraint or reject the certificate"."""
    for permitted, excluded in (([name], None), (None, [name])):
        with pytest.raises(UnusableConstraint, match=type(name).__name__):
            NameConstraintsState().add(x509.NameConstraints(permitted, excluded))


# -- what the library cannot say; made by hand and signed by an authority


def subtree(tag: int, content: bytes, *more: bytes) -> bytes:
    return der(0x30, der(tag, content), *more)


def chain_with(value: bytes, *names: str) -> None:
    """A path through an authority whose NameConstraints are these octets."""
    middle = pki.authority("Middle", ROOT, more=[pki.raw_extension(pki.NAME_CONSTRAINTS, value, critical=True)])
    entity = pki.end_entity(middle, *(names or ("gw.example.com",)))
    verify_chain(entity.der, [middle.der], ROOT.trust, parse_identity((names or ("gw.example.com",))[0]), NOW)


DNS = b"example.com"
MALFORMED = {
    "a minimum": der(0x30, der(0xA0, subtree(0x82, DNS, b"\x80\1\1"))),
    "a maximum": der(0x30, der(0xA0, subtree(0x82, DNS, b"\x81\1\5"))),
    "a minimum on what is excluded": der(0x30, der(0xA1, subtree(0x82, b"example.org", b"\x80\1\1"))),
    "the default minimum, written": der(0x30, der(0xA0, subtree(0x82, DNS, b"\x80\1\0"))),
    "nothing": der(0x30),
    "no permitted subtrees": der(0x30, der(0xA0)),
    "no excluded subtrees": der(0x30, der(0xA1)),
    "an address without a mask": der(0x30, der(0xA1, subtree(0x87, bytes([10, 0, 0, 1])))),
    "an IPv6 address without a mask": der(0x30, der(0xA1, subtree(0x87, bytes(16)))),
    "a mask with holes": der(0x30, der(0xA1, subtree(0x87, bytes([10, 0, 0, 0, 255, 0, 255, 0])))),
    "an address of seven octets": der(0x30, der(0xA1, subtree(0x87, bytes(7)))),
    "an x400Address": der(0x30, der(0xA1, subtree(0xA3, b""))),
    "a tag that is no name": der(0x30, der(0xA1, subtree(0x8F, b""))),
    "octets behind": der(0x30, der(0xA0, subtree(0x82, DNS))) + b"\0",
    "no DER": b"junk",
}


@pytest.mark.parametrize("flaw", MALFORMED)
def test_malformed_constraints(flaw: str) -> None:
    """RFC 5280 section 4.2.1.10: what the extension demands and we do not understand refuses the path; none is skipped."""
    with pytest.raises(AuthenticationFailed) as caught:
        chain_with(MALFORMED[flaw])
    assert caught.value.section in ("RFC 5280 section 4.2.1.10", "RFC 5280 section 6.1")


def test_constraints_by_hand() -> None:
    """The same builder with nothing wrong."""
    chain_with(der(0x30, der(0xA0, subtree(0x82, DNS))))
    chain_with(der(0x30, der(0xA0, subtree(0x87, bytes([10, 0, 0, 0, 255, 0, 0, 0])))), "10.1.2.3")
    with pytest.raises(AuthenticationFailed, match=r"may not issue certificates for gw\.example\.com"):
        chain_with(der(0x30, der(0xA1, subtree(0x82, DNS))))


NUL = b"gw.example.org\0.example.com"


def _named(octets: bytes, tag: int = 0x82) -> Entity:
    middle = pki.authority("Middle", ROOT, more=[pki.constraints(["example.com"], ["example.org"])])
    names = pki.raw_extension(SAN, der(0x30, der(tag, octets)))
    return pki.issue(x509.Name([]), pki.key("p256", "named"), middle, [names])


def test_a_zero_octet_in_a_name() -> None:
    """Class X: whoever reads up to the zero takes it for another name. Here the whole counts, in both comparisons."""
    middle = pki.authority("Middle", ROOT, more=[pki.constraints(["example.com"], ["example.org"])])
    entity = _named(NUL)
    for text in ("gw.example.org", "gw.example.com"):
        with pytest.raises(AuthenticationFailed, match="its certificate is for"):
            verify_chain(entity.der, [middle.der], ROOT.trust, parse_identity(text), NOW)


def test_what_is_outside_is_shown_safely() -> None:
    made = state(["example.com"], [])
    assert made.first_outside(_named(b"\x1b[31m\n").certificate) == "?[31m?"
    shown = made.first_outside(_named(b"x" * 5000).certificate)
    assert shown is not None
    assert len(shown) < 200


# -- against other ways to say the same


LABELS = st.lists(st.sampled_from(["a", "b", "com", "example", "xa"]), min_size=1, max_size=4)


@settings(deadline=None)
@given(LABELS, LABELS)
def test_domains_by_labels(host: list[str], domain: list[str]) -> None:
    """A domain is a list of labels: what is within it ends in all of them."""
    expected = host[-len(domain) :] == domain
    made = state([".".join(domain)], [])
    assert (made.first_outside(subject_of(".".join(host))) is None) == expected


@settings(deadline=None)
@given(st.ip_addresses(), st.ip_addresses(v=4), st.integers(0, 32))
def test_addresses_by_bits(address: IPv4Address | IPv6Address, network: IPv4Address, length: int) -> None:
    """A network is a number of leading bits."""
    subtree_ = ip_network((network, length), strict=False)
    assert isinstance(subtree_, IPv4Network)
    shift = 32 - length
    expected = address.version == 4 and int(address) >> shift == int(network) >> shift
    assert (state([str(subtree_)], []).first_outside(subject_of(str(address))) is None) == expected
    assert state([str(subtree_)], []).first_outside(subject_of(str(ip_address(int(subtree_[0]))))) is None
