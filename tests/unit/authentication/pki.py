"""Trees of certificates for tests: keys of every kind, authorities, end entities, and DER by hand for what no library makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from caponier.mechanisms.authentication.certificates import CertificateTrust

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EKU_IKE = ObjectIdentifier("1.3.6.1.5.5.7.3.17")  # id-kp-ipsecIKE, RFC 4945 section 5.1.3.12

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
AnyKey = Key | dsa.DSAPrivateKey | ed448.Ed448PrivateKey

CURVES: dict[str, ec.EllipticCurve] = {
    "p224": ec.SECP224R1(),
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "p256k1": ec.SECP256K1(),
}


@cache
def key(kind: str, name: str = "") -> Key:
    """A key of ``kind``, another one for each ``name``; made once: RSA takes its time."""
    del name
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    match kind:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "rsa-e3":
            return rsa.generate_private_key(3, 2048)
        case "rsa-1024":
            return rsa.generate_private_key(65537, 1024)
        case _:
            raise ValueError(kind)


@cache
def foreign_key(kind: str) -> dsa.DSAPrivateKey | ed448.Ed448PrivateKey:
    """A key of a kind that we neither sign with nor verify."""
    return ed448.Ed448PrivateKey.generate() if kind == "ed448" else dsa.generate_private_key(1024)


def pkcs8(private: AnyKey, encoding: Encoding = Encoding.PEM) -> bytes:
    return private.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())


def spki(private: AnyKey) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# -- certificates


def name(common: str, organization: str = "Example") -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True)
class Entity:
    """A certificate and the key that belongs to it."""

    certificate: x509.Certificate
    key: AnyKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def trust(self) -> CertificateTrust:
        return CertificateTrust((self.certificate,))


def hash_for(signer: AnyKey) -> hashes.SHA256 | None:
    return None if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


def issue(
    subject: x509.Name,
    subject_key: AnyKey,
    issuer: Entity | None,
    extensions: Iterable[Extension] = (),
    *,
    since: datetime = NOW - DAY,
    until: datetime = NOW + DAY,
    issuer_name: x509.Name | None = None,
    signer: AnyKey | None = None,
) -> Entity:
    """A certificate, signed by the issuer's key or, where there is no issuer, by its own.

    Args:
        subject: whose it is.
        subject_key: the key that it is about.
        issuer: who issues it; None for a self-signed one.
        extensions: each with whether it is critical.
        since: the beginning of its validity.
        until: the end of its validity.
        issuer_name: stands in for the issuer's name.
        signer: stands in for the issuer's key.
    """
    if signer is None:
        signer = subject_key if issuer is None else issuer.key
    if issuer_name is None:  # an empty name is one, too
        issuer_name = subject if issuer is None else issuer.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(subject_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Entity(builder.sign(signer, hash_for(signer)), subject_key)


def authority_extensions(path_length: int | None = None) -> list[Extension]:
    return [(x509.BasicConstraints(True, path_length), True), (usage("key_cert_sign", "crl_sign"), True)]


def authority(
    common: str,
    issuer: Entity | None = None,
    *,
    kind: str = "p256",
    path_length: int | None = None,
    more: Sequence[Extension] = (),
    since: datetime = NOW - DAY,
    until: datetime = NOW + DAY,
) -> Entity:
    """An authority, self-signed where nobody issues it."""
    extensions = [*authority_extensions(path_length), *more]
    return issue(name(common), key(kind, common), issuer, extensions, since=since, until=until)


def end_entity(
    issuer: Entity,
    *names: str,
    kind: str = "p256",
    subject: x509.Name | None = None,
    more: Sequence[Extension] = (),
    since: datetime = NOW - DAY,
    until: datetime = NOW + DAY,
) -> Entity:
    """An end entity with these alternative names, by default ``gw.example.com``."""
    extensions = [alternatives(*(names or ("gw.example.com",))), *more]
    return issue(
        name("gw") if subject is None else subject,
        key(kind, "end entity"),
        issuer,
        extensions,
        since=since,
        until=until,
    )


def alternatives(*names: str) -> Extension:
    return x509.SubjectAlternativeName([general_name(each) for each in names]), False


def general_name(text: str) -> x509.GeneralName:
    """``10.0.0.0/8`` and ``192.0.2.1`` are addresses, ``a@b`` mail, ``dir:CN=x`` a directory name, all else a host."""
    if text.startswith("dir:"):
        return x509.DirectoryName(x509.Name.from_rfc4514_string(text[4:]))
    if text.startswith(("mail:", "uri:")):
        kind = x509.RFC822Name if text.startswith("mail:") else x509.UniformResourceIdentifier
        return kind(text.partition(":")[2])
    try:
        return x509.IPAddress(ip_network(text) if "/" in text else ip_address(text))
    except ValueError:
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


def constraints(permitted: Sequence[str] = (), excluded: Sequence[str] = ()) -> Extension:
    return (
        x509.NameConstraints(
            [general_name(each) for each in permitted] or None, [general_name(each) for each in excluded] or None
        ),
        True,
    )


def usage(*allowed: str) -> x509.KeyUsage:
    bits = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{bit: bit in allowed for bit in bits})


def purposes(*oids: ObjectIdentifier) -> Extension:
    return x509.ExtendedKeyUsage(oids or [ExtendedKeyUsageOID.EMAIL_PROTECTION]), False


def raw_extension(oid: ObjectIdentifier, value: bytes, *, critical: bool = False) -> Extension:
    """Any octets under any object identifier, also one that the library knows."""
    return x509.UnrecognizedExtension(oid, value), critical


# -- DER by hand


def der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size) + content


def integer(value: int) -> bytes:
    """A DER INTEGER."""
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def rsa_spki(modulus: int, exponent: int) -> bytes:
    """A SubjectPublicKeyInfo of any two numbers (RFC 3279 section 2.3.1)."""
    numbers = der(0x30, integer(modulus), integer(exponent))
    return der(0x30, bytes.fromhex("300d06092a864886f70d0101010500"), der(3, b"\0" + numbers))


def resigned(tbs: bytes, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate around any TBSCertificate, signed by ecdsa-with-SHA256 so that the signature is never to blame."""
    signature = signer.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return der(0x30, tbs, bytes.fromhex("300a06082a8648ce3d040302"), der(3, b"\0" + signature))


def edited(entity: Entity, old: bytes, new: bytes, issuer: Entity) -> bytes:
    """The certificate with octets of its TBSCertificate exchanged, and signed again.

    Args:
        entity: whose certificate.
        old: occurs once: a whole field of the TBSCertificate, or anything inside of one.
        new: as long as ``old``, unless that is a whole field.
        issuer: who signs.
    """
    tbs = entity.certificate.tbs_certificate_bytes
    head = len(tbs) - _content_length(tbs)
    assert tbs.count(old) == 1, f"{tbs.count(old)} times"
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    return resigned(der(0x30, tbs[head:].replace(old, new)), issuer.key)


def _content_length(element: bytes) -> int:
    size = element[1] & 0x7F if element[1] & 0x80 else 0
    return int.from_bytes(element[2 : 2 + size]) if size else element[1]


def pss_identifier(
    function: int,
    salt: bytes,
    *,
    mask_function: int | None = None,
    null: tuple[bool, bool] = (True, True),
    more: bytes = b"",
) -> bytes:
    """An AlgorithmIdentifier of RSASSA-PSS, put together by hand (RFC 4055 section 3.1).

    Args:
        function: the last octet of the hash's object identifier: 1 for SHA-256, 2 for SHA-384, 3 for SHA-512.
        salt: the INTEGER.
        mask_function: as function, for the mask.
        null: whether parameters of the two hashes are NULL or absent.
        more: follows the salt.
    """

    def hash_algorithm(number: int, *, has_null: bool) -> bytes:
        oid = der(6, bytes.fromhex("6086480165030402") + bytes((number,)))
        return der(0x30, oid, b"\x05\0" if has_null else b"")

    mask = der(
        0x30, bytes.fromhex("06092a864886f70d010108"), hash_algorithm(mask_function or function, has_null=null[1])
    )
    fields = (der(0xA0, hash_algorithm(function, has_null=null[0])), der(0xA1, mask), der(0xA2, salt), more)
    return der(0x30, bytes.fromhex("06092a864886f70d01010a"), der(0x30, *fields))


SAN, NAME_CONSTRAINTS = ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.NAME_CONSTRAINTS
