"""Certificates as credentials, as trust and as proof (RFC 7296 sections 3.6 and 3.7, RFC 4945)."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.errors import AuthenticationFailed, ConfigError, Disposition
from caponier.mechanisms.authentication.certificates import (
    MAX_CERTIFICATE,
    CertificateTrust,
    authority_hashes,
    load_certificates,
    load_credential,
    load_trust,
    verify_chain,
)
from caponier.mechanisms.authentication.identity import Identity, parse_identity
from caponier.mechanisms.authentication.parsing import MalformedCertificate, extension, parse_certificate, parse_pem
from caponier.mechanisms.authentication.signatures import PrivateKey
from caponier.mechanisms.authentication.subject import confirms, identities_of
from tests.unit.authentication import pki
from tests.unit.authentication.pki import NOW, SAN, Entity, der

GATEWAY = parse_identity("gw.example.com")
ROOT = pki.authority("Root")
MIDDLE = pki.authority(
    "Middle", ROOT, more=[pki.constraints(["example.com", "dir:O=Example", "10.0.0.0/8"], ["x.example.com"])]
)
PEER = pki.end_entity(
    MIDDLE,
    "gw.example.com",
    "10.1.2.3",
    "user@example.com",
    more=[(pki.usage("digital_signature"), True), pki.purposes(pki.EKU_IKE, ExtendedKeyUsageOID.SERVER_AUTH)],
)


def refuse(
    der_: bytes, others: list[bytes], trust: CertificateTrust = ROOT.trust, who: Identity = GATEWAY
) -> AuthenticationFailed:
    with pytest.raises(AuthenticationFailed) as caught:
        verify_chain(der_, others, trust, who, NOW)
    return caught.value


# -- proof


def test_a_verified_chain() -> None:
    """RFC 7296 section 3.6: whose key it is, until when, and who issued it."""
    verified = verify_chain(PEER.der, [MIDDLE.der], ROOT.trust, GATEWAY, NOW)
    assert verified.public_key == PEER.key.public_key()
    assert verified.subject == "CN=gw, O=Example"
    assert verified.not_after == datetime(2026, 6, 2, 12, tzinfo=UTC)


def test_every_name_of_the_certificate_may_be_the_identity() -> None:
    """RFC 4945 section 3.1.8: certificates with more than one identity."""
    for text in ("gw.example.com", "10.1.2.3", "user@example.com", "CN=gw, O=Example"):
        assert verify_chain(PEER.der, [MIDDLE.der], ROOT.trust, parse_identity(text), NOW)


def test_another_identity_than_the_certificate_has() -> None:
    """RFC 4945 section 3.1: both are said, and where it is set."""
    error = refuse(PEER.der, [MIDDLE.der], who=parse_identity("other.example.com"))
    assert "says that it is other.example.com, but its certificate is for CN=gw, O=Example, gw.example.com" in str(
        error
    )
    assert (error.setting, error.section) == ("remote.id", "RFC 4945 section 3.1")
    assert error.hint
    assert error.disposition is Disposition.CLOSE_SA


def test_a_certificate_for_nobody() -> None:
    nobody = pki.issue(x509.Name([]), pki.key("p256", "nobody"), ROOT)
    assert "its certificate is for nobody" in str(refuse(nobody.der, []))


def test_a_refused_path_says_who_who_issued_it_and_whom_we_trust() -> None:
    other = pki.authority("Other")
    error = refuse(PEER.der, [MIDDLE.der], CertificateTrust((other.certificate, pki.authority("Third").certificate)))
    assert "CN=gw, O=Example, issued by CN=Middle, O=Example" in str(error)
    assert "we accept what CN=Other, O=Example; CN=Third, O=Example issued" in str(error)
    assert error.setting == "remote.ca"
    assert error.section == "RFC 5280 section 6.1"
    assert "remote.ca" in str(error.hint)


def test_certificates_that_do_not_parse_are_passed_over() -> None:
    """RFC 4945 section 3.3.10.2: "MUST be able to deal with receiving CERTs with undecodable Certificate Data"."""
    junk = [b"", b"\x30", b"junk" * 100, PEER.der[:-1], MIDDLE.der + b"\0", bytes(MAX_CERTIFICATE + 1)]
    assert verify_chain(PEER.der, [*junk, MIDDLE.der], ROOT.trust, GATEWAY, NOW)


def test_an_end_entity_that_is_too_large() -> None:
    """Our own limit, before anything is parsed."""
    large = pki.end_entity(ROOT, *(f"gw{each}.example.com" for each in range(1200)))
    assert len(large.der) > MAX_CERTIFICATE
    error = refuse(large.der, [])
    assert str(MAX_CERTIFICATE) in str(error)
    assert error.setting == "remote.ca"
    fits = pki.end_entity(ROOT, "gw.example.com", *(f"gw{each}.example.com" for each in range(800)))
    assert len(fits.der) < MAX_CERTIFICATE
    assert verify_chain(fits.der, [], ROOT.trust, GATEWAY, NOW)


#: What an authority signed and is no certificate: (octets of a good one, what stands there instead).
VERSION = bytes.fromhex("a003020102")
FIELDS: dict[str, tuple[bytes, bytes]] = {
    "version 6": (VERSION, bytes.fromhex("a003020105")),
    "version 1, written": (VERSION, bytes.fromhex("a003020100")),
    "a negative version": (VERSION, bytes.fromhex("a0030201ff")),
    "a name in a BIT STRING": (b"\x0c\x02gw", b"\x03\x02\0w"),
    "a name that is no UTF-8": (b"\x0c\x02gw", b"\x0c\x02\xff\xfe"),
    "a name in an INTEGER": (b"\x0c\x02gw", b"\x02\x02gw"),
    "a month 13": (b"260602120000Z", b"261302120000Z"),
    "a time without Z": (b"260602120000Z", b"260602120000+"),
    "a twice told extension": (bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d25")),
}


@pytest.mark.parametrize("flaw", FIELDS)
def test_malformed_fields(flaw: str) -> None:
    """RFC 5280 section 4.1: refused as a peer's fault, in the end entity, and passed over among the others."""
    old, new = FIELDS[flaw]
    broken = pki.edited(PEER, old, new, MIDDLE)
    error = refuse(broken, [MIDDLE.der])
    assert str(error).startswith("the peer's certificate does not parse as X.509 in DER")
    assert (error.section, error.setting) == ("RFC 5280 section 4", "remote.ca")
    assert verify_chain(PEER.der, [broken, MIDDLE.der], ROOT.trust, GATEWAY, NOW)


EXTENSIONS: dict[str, tuple[x509.ObjectIdentifier, bytes]] = {
    "an x400Address": (SAN, der(0x30, der(0xA3, b"x"))),
    "an ediPartyName": (SAN, der(0x30, der(0xA5, b"x"))),
    "an address of 5 octets": (SAN, der(0x30, der(0x87, bytes(5)))),
    "an otherName cut off": (SAN, der(0x30, der(0xA0, b"\x06\x05"))),
    "a name in no sequence": (SAN, der(0x82, b"gw.example.com")),
    "octets behind the names": (SAN, der(0x30, der(0x82, b"gw.example.com")) + b"\0"),
    "a BOOLEAN of BER": (ExtensionOID.BASIC_CONSTRAINTS, bytes.fromhex("3003010101")),
    "a path length of no authority": (ExtensionOID.BASIC_CONSTRAINTS, bytes.fromhex("3003020105")),
    "a negative path length": (ExtensionOID.BASIC_CONSTRAINTS, bytes.fromhex("30060101ff0201ff")),
    "a path length beyond all": (ExtensionOID.BASIC_CONSTRAINTS, bytes.fromhex("30100101ff020b01") + bytes(10)),
    "a key usage with octets behind": (ExtensionOID.KEY_USAGE, bytes.fromhex("03020780ff")),
    "an empty list of purposes": (ExtensionOID.EXTENDED_KEY_USAGE, b"\x30\0"),
    "a purpose that is no number": (ExtensionOID.EXTENDED_KEY_USAGE, b"\x30\x02\x06\0"),
}


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("flaw", EXTENSIONS)
def test_malformed_extensions(flaw: str, critical: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """RFC 5280 section 4.2: what we process must parse, critical or not."""
    oid, value = EXTENSIONS[flaw]
    broken = pki.issue(pki.name("gw"), pki.key("p256"), ROOT, [pki.raw_extension(oid, value, critical=critical)])
    assert "does not parse" in str(refuse(broken.der, []))


def test_duplicate_extensions() -> None:
    """RFC 5280 section 4.2: "A certificate MUST NOT include more than one instance of a particular extension"."""
    one, other = x509.ObjectIdentifier("1.2.3.4.5"), x509.ObjectIdentifier("1.2.3.4.6")
    entity = pki.end_entity(ROOT, more=[pki.raw_extension(one, b"\5\0"), pki.raw_extension(other, b"\5\0")])
    assert verify_chain(entity.der, [], ROOT.trust, GATEWAY, NOW)
    broken = pki.edited(entity, bytes.fromhex("06042a030406"), bytes.fromhex("06042a030405"), ROOT)
    assert "Duplicate" in str(refuse(broken, []))


@pytest.mark.parametrize(
    "serial", [b"\x02\x01\x85", b"\x02\x01\0", b"\x02\x15\1" + bytes(20)], ids=["-123", "0", "2^160"]
)
def test_odd_serial_numbers(serial: bytes) -> None:
    """RFC 5280 section 4.1.2.2: "Certificate users SHOULD be prepared to gracefully handle such certificates"."""
    old = pki.integer(PEER.certificate.serial_number)
    assert verify_chain(pki.edited(PEER, old, serial, MIDDLE), [MIDDLE.der], ROOT.trust, GATEWAY, NOW)


def test_ber_is_no_der() -> None:
    """RFC 5280 section 4.1: DER; no indefinite length, no longer length than needed, nothing behind."""
    whole = PEER.der
    assert whole[:2] == b"\x30\x82"
    for octets in (
        b"\x30\x80" + whole[4:] + b"\0\0",
        b"\x30\x83\0" + whole[2:],
        whole + b"\0",
        whole + whole,
        whole[:-1],
        b"",
        b"\x30\0",
        PEER.pem,
    ):
        assert "does not parse" in str(refuse(octets, [MIDDLE.der]))


# -- junk


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_junk(octets: bytes) -> None:
    refuse(octets, [octets])
    with pytest.raises(ConfigError):
        load_certificates(octets)
    with pytest.raises(ConfigError):
        load_trust(b"-----BEGIN CERTIFICATE-----\n" + octets)


MUTATIONS = st.lists(
    st.tuples(st.integers(0, 2000), st.sampled_from(["set", "flip", "cut", "insert", "double"]), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def mutated(octets: bytes, changes: list[tuple[int, str, int]]) -> bytes:
    made = bytearray(octets)
    for place, how, value in changes:
        position = place % max(1, len(made))
        match how:
            case "set":
                made[position : position + 1] = bytes((value,))
            case "flip":
                made[position : position + 1] = bytes((made[position] ^ 1 << value % 8,)) if made else b""
            case "cut":
                del made[position : position + 1 + value % 16]
            case "insert":
                made[position:position] = bytes((value,)) * (1 + value % 4)
            case "double":
                made[position:position] = made[position : position + value]
    return bytes(made)


def _use_everything_of(octets: bytes) -> None:
    """What may be done with a certificate that parses must not fail in any way but ours."""
    certificate = parse_certificate(octets)
    for identity in identities_of(certificate):
        assert identity.text is not None
        assert confirms(certificate, identity)


@settings(max_examples=300, deadline=None)
@given(MUTATIONS)
def test_mutated_certificates(changes: list[tuple[int, str, int]]) -> None:
    """Class P: whatever is done to a peer's certificate, we refuse it in our own words."""
    octets = mutated(PEER.der, changes)
    if octets != PEER.der:
        refuse(octets, [MIDDLE.der])
    with suppress(MalformedCertificate):
        _use_everything_of(octets)


@settings(max_examples=600, deadline=None)
@given(MUTATIONS)
def test_mutated_and_signed_again(changes: list[tuple[int, str, int]]) -> None:
    """Class P, deeper: an authority signed it, so that every check behind the signature is reached."""
    assert isinstance(MIDDLE.key, type(pki.key("p256")))
    octets = pki.resigned(mutated(PEER.certificate.tbs_certificate_bytes, changes), MIDDLE.key)  # type: ignore[arg-type]
    with suppress(AuthenticationFailed):
        assert verify_chain(octets, [MIDDLE.der], ROOT.trust, GATEWAY, NOW)
    with suppress(MalformedCertificate):
        _use_everything_of(octets)


@settings(max_examples=300, deadline=None)
@given(MUTATIONS)
def test_mutated_authorities(changes: list[tuple[int, str, int]]) -> None:
    """The same for the certificate in the middle, signed again by the root, and as a trust anchor."""
    octets = pki.resigned(mutated(MIDDLE.certificate.tbs_certificate_bytes, changes), ROOT.key)  # type: ignore[arg-type]
    with suppress(AuthenticationFailed):
        assert verify_chain(PEER.der, [octets], ROOT.trust, GATEWAY, NOW)
    with suppress(ConfigError):
        trust = load_trust(octets)
        assert len(authority_hashes(trust.anchors)) == 20
        with suppress(AuthenticationFailed):
            assert verify_chain(PEER.der, [], trust, GATEWAY, NOW)


# -- parsing


def test_parsing() -> None:
    certificate = parse_certificate(PEER.der)
    assert certificate == PEER.certificate
    assert parse_pem(PEER.pem + ROOT.pem) == (PEER.certificate, ROOT.certificate)
    names = extension(certificate, x509.SubjectAlternativeName)
    assert names is not None
    assert names.get_values_for_type(x509.DNSName) == ["gw.example.com"]
    assert extension(certificate, x509.NameConstraints) is None


def test_loading() -> None:
    assert load_certificates(PEER.der) == (PEER.certificate,)
    assert load_certificates(b"# ours\n" + PEER.pem + b"\n# theirs\n" + MIDDLE.pem) == (
        PEER.certificate,
        MIDDLE.certificate,
    )
    for octets in (b"", b"-----BEGIN CERTIFICATE-----", pki.pkcs8(pki.key("p256"))):
        with pytest.raises(ConfigError, match="this is no certificate") as caught:
            load_certificates(octets)
        assert "-----BEGIN CERTIFICATE-----" in str(caught.value.hint)


def test_a_bundle_with_a_broken_certificate() -> None:
    """Nothing of it is taken: whoever trusts three authorities does not want two."""
    broken = x509.load_der_x509_certificate(pki.edited(PEER, b"\x0c\x02gw", b"\x0c\x02\xff\xfe", MIDDLE))
    for octets in (ROOT.pem + broken.public_bytes(Encoding.PEM), broken.public_bytes(Encoding.DER)):
        with pytest.raises(ConfigError, match="this is no certificate"):
            load_certificates(octets)


# -- our own credential


def test_a_credential() -> None:
    """RFC 7296 section 3.6: our own certificate first, then what leads on from it."""
    credential = load_credential(PEER.pem + MIDDLE.pem, pki.pkcs8(PEER.key), GATEWAY)
    assert credential.encoded == (PEER.der, MIDDLE.der)
    assert credential.key == PrivateKey.load(pki.pkcs8(PEER.key))
    assert credential.certificate == PEER.certificate


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521", "ed25519"])
def test_credentials_of_every_kind(kind: str) -> None:
    entity = pki.end_entity(ROOT, kind=kind)
    assert load_credential(entity.pem, pki.pkcs8(entity.key), GATEWAY).key.public_key == entity.key.public_key()


def refuse_credential(certificates: bytes, key: bytes, who: Identity = GATEWAY) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_credential(certificates, key, who)
    assert caught.value.hint
    return caught.value


def test_credentials_that_do_not_fit_together() -> None:
    other = pki.pkcs8(pki.key("p256", "somebody else"))
    assert "does not belong to the certificate of CN=gw" in str(refuse_credential(PEER.pem, other))
    assert "does not belong" in str(refuse_credential(PEER.pem, pki.pkcs8(pki.key("rsa"))))
    assert "does not belong to the certificate of CN=Middle" in str(
        refuse_credential(MIDDLE.pem + PEER.pem, pki.pkcs8(PEER.key))
    )


def test_a_credential_for_somebody_else() -> None:
    """No peer would believe us (RFC 4945 section 3.1)."""
    error = refuse_credential(PEER.pem, pki.pkcs8(PEER.key), parse_identity("other.example.com"))
    assert "not for other.example.com, but for CN=gw, O=Example, gw.example.com, user@example.com, 10.1.2.3" in str(
        error
    )
    assert "local.id" in str(error.hint)


def test_credentials_that_nobody_may_use() -> None:
    for kind in ("ed448", "dsa"):
        entity = pki.issue(pki.name("gw"), pki.foreign_key(kind), ROOT, [pki.alternatives("gw.example.com")])
        refuse_credential(entity.pem, pki.pkcs8(entity.key))
        assert "which we do not use" in str(refuse_credential(entity.pem, pki.pkcs8(PEER.key)))
    unknown = pki.edited(PEER, pki.spki(PEER.key), bytes.fromhex("300a300506032b65770301" + "00"), MIDDLE)
    assert "of a kind that we do not know" in str(refuse_credential(unknown, pki.pkcs8(PEER.key)))


def test_a_credential_does_not_show_its_key() -> None:
    credential = load_credential(PEER.pem, pki.pkcs8(PEER.key), GATEWAY)
    numbers = PEER.key.private_numbers()  # type: ignore[union-attr]
    for secret in (str(numbers.private_value), f"{numbers.private_value:x}"):  # type: ignore[union-attr]
        assert secret not in repr(credential)
    assert "PrivateKey(ecdsa)" in repr(credential)


# -- trust


def test_trust() -> None:
    trust = load_trust(ROOT.pem + MIDDLE.pem)
    assert trust == CertificateTrust((ROOT.certificate, MIDDLE.certificate))
    assert trust.text == "CN=Root, O=Example; CN=Middle, O=Example"


def test_who_is_no_authority() -> None:
    """RFC 5280 section 4.2.1.9: an end entity's certificate as trust is a mistake, and it is said at once."""
    plain = pki.issue(pki.name("plain"), pki.key("p256", "plain"), None)
    no_ca = pki.issue(pki.name("no"), pki.key("p256", "no"), None, [(x509.BasicConstraints(False, None), True)])
    for entity in (PEER, plain, no_ca):
        with pytest.raises(ConfigError, match="is not an authority's") as caught:
            load_trust(ROOT.pem + entity.pem)
        assert "not the peer's own" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["rsa-1024", "p224", "p256k1"])
def test_authorities_with_weak_keys(kind: str) -> None:
    """RFC 8247 section 3.1.1: what would refuse every peer is refused when the configuration is read."""
    with pytest.raises(ConfigError, match="the key of the certificate of CN=Weak, O=Example is ") as caught:
        load_trust(pki.authority("Weak", kind=kind).pem)
    assert caught.value.hint


def test_authorities_with_keys_of_kinds_that_we_do_not_take() -> None:
    for kind in ("ed448", "dsa"):
        entity = pki.issue(pki.name("Odd"), pki.foreign_key(kind), None, pki.authority_extensions())
        with pytest.raises(ConfigError, match="which we do not use"):
            load_trust(entity.pem)
    unknown = pki.edited(ROOT, pki.spki(ROOT.key), bytes.fromhex("300a300506032b6577030100"), ROOT)
    with pytest.raises(ConfigError, match="of a kind that we do not know"):
        load_trust(unknown)


def test_certificate_requests() -> None:
    """RFC 7296 section 3.7: SHA-1 over each authority's SubjectPublicKeyInfo, one behind the other."""
    authorities = [ROOT, pki.authority("RSA", kind="rsa"), pki.authority("EdDSA", kind="ed25519")]
    expected = b"".join(hashlib.sha1(pki.spki(each.key)).digest() for each in authorities)
    assert authority_hashes([each.certificate for each in authorities]) == expected
    assert authority_hashes([]) == b""


# -- whom a certificate is for


def names(entity: Entity) -> list[str]:
    return [f"{each.type.name} {each.text}" for each in identities_of(entity.certificate)]


def test_identities_of_a_certificate() -> None:
    """RFC 4945 sections 3.1 and 5.1.3.6."""
    entity = pki.end_entity(
        ROOT,
        "gw.example.com",
        "vpn.example.com",
        "user@example.com",
        "192.0.2.1",
        "2001:db8::1",
        "uri:https://x/",
        "dir:CN=x",
    )
    assert names(entity) == [
        "ID_DER_ASN1_DN CN=gw, O=Example",
        "ID_FQDN gw.example.com",
        "ID_FQDN vpn.example.com",
        "ID_RFC822_ADDR user@example.com",
        "ID_IPV4_ADDR 192.0.2.1",
        "ID_IPV6_ADDR 2001:db8::1",
    ]


def test_an_empty_subject_is_nobody() -> None:
    """RFC 4945 section 5.1.2.1: accepted, and then only the alternative names are identities."""
    assert names(pki.end_entity(ROOT, subject=x509.Name([]))) == ["ID_FQDN gw.example.com"]
    empty = Identity(parse_identity("CN=x").type, x509.Name([]).public_bytes())
    assert not confirms(pki.end_entity(ROOT, subject=x509.Name([])).certificate, empty)


def test_a_network_is_no_identity() -> None:
    """RFC 4945 section 5.1.3.6.2: "the CIDR notation MUST NOT be used in the SubjectAltName extension"."""
    entity = pki.end_entity(ROOT, "10.0.0.0/8", "10.1.2.3/32")
    assert names(entity) == ["ID_DER_ASN1_DN CN=gw, O=Example"]
    assert not confirms(entity.certificate, parse_identity("10.1.2.3"))


CONFIRMS = [
    (("gw.example.com",), "GW.Example.COM", True),
    (("gw.example.com",), "gw.example.org", False),
    (("gw.example.com",), "example.com", False),
    (("gw.example.com",), "a.gw.example.com", False),
    (("gw.example.com",), "gw.example.com.", False),
    (("*.example.com",), "gw.example.com", False),
    (("user@example.com",), "USER@Example.com", True),
    (("user@example.com",), "other@example.com", False),
    (("user@example.com",), "example.com", False),
    (("example.com",), "user@example.com", False),
    (("192.0.2.1",), "192.0.2.1", True),
    (("192.0.2.1",), "192.0.2.2", False),
    (("192.0.2.1",), "::ffff:192.0.2.1", False),
    (("2001:db8::1",), "2001:db8:0:0:0:0:0:1", True),
    (("uri:https://gw.example.com/",), "gw.example.com", False),
    (("dir:CN=gw.example.com",), "CN=gw.example.com", False),
    (("gw.example.com",), "keyid:0a1b", False),
    (("gw.example.com",), "CN=gw, O=Example", True),
    (("gw.example.com",), "cn=GW, o=example", True),
    (("gw.example.com",), "O=Example, CN=gw", False),
    (("gw.example.com",), "CN=gw", False),
    (("gw.example.com",), "O=Example", False),
    (("gw.example.com",), "CN=gw, O=Example, C=DE", False),
]


@pytest.mark.parametrize(("alternatives", "text", "confirmed"), CONFIRMS)
def test_confirmation(alternatives: tuple[str, ...], text: str, *, confirmed: bool) -> None:
    """RFC 4945 sections 3.1.1 to 3.1.5: no wildcards, no substrings, no case in names, bits in addresses."""
    assert confirms(pki.end_entity(ROOT, *alternatives).certificate, parse_identity(text)) is confirmed


def test_what_only_stands_in_the_subject() -> None:
    """RFC 4945 section 3.1.9: such entries "MUST NOT be interpreted as identity information"."""
    for value in ("gw.example.com", "user@example.com", "192.0.2.1"):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value)])
        for more in ((), (pki.alternatives("other.example.com"),)):
            entity = pki.issue(subject, pki.key("p256"), ROOT, more)
            assert not confirms(entity.certificate, parse_identity(value))
    mail = pki.issue(
        x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "user@example.com")]), pki.key("p256", "mail"), ROOT
    )
    assert not confirms(mail.certificate, parse_identity("user@example.com"))
