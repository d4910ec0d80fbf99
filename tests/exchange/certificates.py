"""Authorities and parties for exchange tests: keys of every kind that signs, made once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust
from caponier.mechanisms.authentication.signatures import PrivateKey
from tests.exchange import world

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def signing_key(kind: str, name: str) -> Key:
    """A key of ``kind`` for ``name``, the same whenever it is asked for."""
    del name
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "p521":
            return ec.generate_private_key(ec.SECP521R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            raise ValueError(kind)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _sign(builder: x509.CertificateBuilder, key: Key) -> x509.Certificate:
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _builder(subject: str, issuer: str, key: Key) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(world.EPOCH - timedelta(days=1))
        .not_valid_after(world.EPOCH + timedelta(days=1))
    )


@dataclass(frozen=True)
class Authority:
    """Issues certificates."""

    name: str
    key: Key
    certificate: x509.Certificate

    @property
    def trust(self) -> CertificateTrust:
        return CertificateTrust((self.certificate,))

    def below(self, name: str) -> Authority:
        """An authority that this one vouches for."""
        key = signing_key("p256", name)
        builder = _builder(name, self.name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        return Authority(name, key, _sign(builder, self.key))


@cache
def authority(name: str, kind: str = "p256") -> Authority:
    key = signing_key(kind, name)
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return Authority(name, key, _sign(builder, key))


@dataclass(frozen=True)
class Party:
    """Somebody with a certificate."""

    credential: CertificateCredential

    @classmethod
    def issued(cls, ca: Authority, name: str, kind: str = "p256", through: tuple[Authority, ...] = ()) -> Party:
        """A party whose certificate ``ca`` issued; it sends those of ``through`` along."""
        key = signing_key(kind, name)
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        certificate = _sign(_builder(name, ca.name, key).add_extension(alternative, False), ca.key)
        return cls(CertificateCredential(certificate, tuple(each.certificate for each in through), PrivateKey(key)))
