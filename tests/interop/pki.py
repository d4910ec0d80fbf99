"""A certification authority and a certificate for each gateway, fresh for each test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def ecdsa_pair(names: int = 0) -> dict[str, bytes]:
    """``ca.pem``, ``ours.pem``, ``ours.key``, ``theirs.pem`` and ``theirs.key``, all on P-256.

    Args:
        names: further ones of each certificate, of some 40 octets, which make it long.
    """
    others = [f"number-{number:03}.of-many.names.example.com" for number in range(names)]
    authority = ec.generate_private_key(ec.SECP256R1())
    ca = (
        _builder("Interop CA", "Interop CA", authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    made = {"ca.pem": ca.public_bytes(Encoding.PEM)}
    for side, name in (("ours", "gw1.example.com"), ("theirs", "gw2.example.com")):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(name, "Interop CA", key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(each) for each in (name, *others)]), critical=False
            )
            .sign(authority, hashes.SHA256())
        )
        made |= {f"{side}.pem": certificate.public_bytes(Encoding.PEM), f"{side}.key": _pem(key)}
    return made
