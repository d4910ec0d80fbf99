"""Certificates of peers (RFC 7296 section 3.6, RFC 5280), and those that a configuration names.

A certificate that was changed leads to no trust anchor, and so would be refused before anybody looks at its extensions.
Therefore each certificate that parses is also taken for an anchor of its own, and for an authority over the honest one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from caponier.errors import AuthenticationFailed, ConfigError
from caponier.mechanisms.authentication.certificates import (
    CertificateTrust,
    authority_hashes,
    load_certificates,
    load_credential,
    load_trust,
    verify_chain,
)
from caponier.mechanisms.authentication.identity import parse_identity
from fuzz.framing import join, split
from fuzz.telling import require_told

NOW = datetime(2026, 6, 1, tzinfo=UTC)
GATEWAY = parse_identity("gw.example.com")


@cache
def _key(number: int) -> ec.EllipticCurvePrivateKey:
    """The same keys in every run, so that a finding can be reproduced; they protect nothing."""
    return ec.derive_private_key(number, ec.SECP256R1())


def _point(number: int) -> bytes:
    return _key(number).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: str, key: int, issuer: str, signer: int, extensions: tuple[tuple[x509.ExtensionType, bool], ...]
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(_key(key).public_key())
        .serial_number(key)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(_key(signer), hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


_AUTHORITY = (x509.BasicConstraints(ca=True, path_length=2), True), (_usage(signs_certificates=True), True)
_CONSTRAINTS = x509.NameConstraints(
    [
        x509.DNSName("example.com"),
        x509.IPAddress(ip_network("192.0.2.0/24")),
        x509.RFC822Name("example.com"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "XX")])),
    ],
    [x509.DNSName("evil.example.com"), x509.IPAddress(ip_network("2001:db8::/32"))],
)
_NAMES = x509.SubjectAlternativeName(
    [
        x509.DNSName("gw.example.com"),
        x509.RFC822Name("gw@example.com"),
        x509.IPAddress(ip_address("192.0.2.1")),
        x509.UniformResourceIdentifier("https://example.com/"),
    ]
)
_PURPOSES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.IPSEC_IKE, ExtendedKeyUsageOID.SERVER_AUTH])

ROOT = _certificate("Root", 1001, "Root", 1001, _AUTHORITY)
MIDDLE = _certificate("Middle", 1002, "Root", 1001, (*_AUTHORITY, (_CONSTRAINTS, True)))
END = _certificate(
    "Gateway",
    1003,
    "Middle",
    1002,
    (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (_NAMES, False),
        (_PURPOSES, False),
    ),
)
KEY = _key(1003).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
TRUST = load_trust(ROOT)


def seeds() -> dict[str, bytes]:
    """The certificates of a peer, its own first."""
    return {
        "whole-chain": join((END, MIDDLE)),
        "with-its-root": join((END, MIDDLE, ROOT)),
        "root": join((ROOT,)),
        "middle": join((MIDDLE,)),
        "end": join((END,)),
        "twice": join((END, END, MIDDLE, MIDDLE)),
        "private-key": join((KEY,)),
        "key-off-the-curve": join((END.replace(_point(1003)[-8:], bytes(8)), MIDDLE)),
    }


def one(octets: bytes) -> None:
    """Evidence, or AuthenticationFailed; in a configuration ConfigError. Nobody is believed who is not GATEWAY."""
    first, *others = split(octets, 20) or [b""]
    _verify(first, others, TRUST)
    _verify(END, [first, *others], TRUST)
    try:
        certificates = load_certificates(first)
    except ConfigError as error:
        require_told(error)
        certificates = ()
    if certificates:
        # Whatever it is: taken for an anchor, its extensions, names and dates are looked at.
        _verify(first, others, CertificateTrust(certificates))
        _verify(END, [MIDDLE, *others], CertificateTrust(certificates))
    _configure(first)


def _verify(end_entity: bytes, others: list[bytes], trust: CertificateTrust) -> None:
    try:
        verified = verify_chain(end_entity, others, trust, GATEWAY, NOW)
    except AuthenticationFailed as error:
        require_told(error)
        return
    if trust is TRUST:
        assert end_entity == END
    assert verified.subject.isprintable()


def _configure(octets: bytes) -> None:
    """The octets where a configuration may name them: as authority, as certificate, as key."""
    for load in (
        load_trust,
        lambda each: load_credential(each, KEY, GATEWAY),
        lambda each: load_credential(END, each, GATEWAY),
    ):
        try:
            loaded = load(octets)
        except ConfigError as error:
            require_told(error)
        else:
            if isinstance(loaded, CertificateTrust):
                assert len(authority_hashes(loaded.anchors)) == 20 * len(loaded.anchors)
                assert loaded.text
