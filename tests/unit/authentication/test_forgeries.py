"""Signatures that look right and are not: the classes of past vulnerabilities, each made by hand.

Every builder of forgeries also makes one that is right, and that one must verify: so it is the flaw that is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from caponier.doi.ikev2 import AuthMethod
from caponier.errors import AuthenticationFailed
from caponier.mechanisms.authentication.certificates import verify_chain
from caponier.mechanisms.authentication.identity import parse_identity
from caponier.mechanisms.authentication.signatures import (
    PublicKey,
    SignatureScheme,
    verify_legacy_signature,
    verify_signature,
)
from tests.unit.authentication import pki

OCTETS = b"what AUTH covers"
S = SignatureScheme
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # of SHA-256, RFC 8017 section 9.2 note 1
SHA1_DIGEST_INFO, MD5_DIGEST_INFO = (
    bytes.fromhex("3021300906052b0e03021a05000414"),
    bytes.fromhex("3020300c06082a864886f70d020505000410"),
)
GATEWAY = parse_identity("gw.example.com")


def refuse(public: PublicKey, scheme: SignatureScheme, signature: bytes, octets: bytes = OCTETS) -> None:
    with pytest.raises(AuthenticationFailed):
        verify_signature(public, scheme, signature, octets)


# -- RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2)


def rsa_key(kind: str) -> rsa.RSAPrivateKey:
    key = pki.key(kind)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def raw(key: rsa.RSAPrivateKey, encoded: bytes) -> bytes:
    """RSASP1 of any encoded message, however wrong (RFC 8017 section 5.2.1)."""
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    return pow(int.from_bytes(encoded), numbers.d, modulus).to_bytes((modulus.bit_length() + 7) // 8)


def digest(octets: bytes = OCTETS) -> bytes:
    return hashlib.sha256(octets).digest()


def filled(head: bytes, tail: bytes, filling: bytes = b"\xff", size: int = 256) -> bytes:
    return head + filling * (size - len(head) - len(tail)) + tail


RIGHT = filled(b"\0\1", b"\0" + DIGEST_INFO + digest())

#: EMSA-PKCS1-v1_5 gone wrong (RFC 8017 section 9.2); 256 octets each.
WRONG_PADDING = {
    "garbage behind the hash (CVE-2006-4339)": filled(
        b"\0\1" + b"\xff" * 8 + b"\0" + DIGEST_INFO + digest(), b"", b"\xaa"
    ),
    "zeros behind the hash": filled(b"\0\1" + b"\xff" * 8 + b"\0" + DIGEST_INFO + digest(), b"", b"\0"),
    "garbage before the hash": filled(b"\0\1" + b"\xff" * 8 + b"\0", b"\0" + DIGEST_INFO + digest(), b"\xaa"),
    "no filling": filled(b"\0\1\0" + DIGEST_INFO + digest(), b"", b"\0"),
    "filling of zeros": filled(b"\0\1", b"\0" + DIGEST_INFO + digest(), b"\0"),
    "a filling octet that is not ff": RIGHT[:100] + b"\xfe" + RIGHT[101:],
    "filled for encryption": filled(b"\0\2", b"\0" + DIGEST_INFO + digest(), b"\xaa"),
    "block type 0": filled(b"\0\0", b"\0" + DIGEST_INFO + digest(), b"\0"),
    "no separator": filled(b"\0\1", DIGEST_INFO + digest()),
    "no DigestInfo": filled(b"\0\1", b"\0" + digest()),
    "nothing but filling": filled(b"\0\1", b""),
    "a truncated hash (CVE-2026-50721)": filled(b"\0\1", b"\0" + DIGEST_INFO[:-1] + b"\x10" + digest()[:16]),
    "a truncated hash, its length left": filled(b"\0\1", b"\0" + DIGEST_INFO + digest()[:31]),
    "an empty hash": filled(b"\0\1", b"\0" + bytes.fromhex("3011300d060960864801650304020105000400")),
    "parameters absent": filled(
        b"\0\1", b"\0" + bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest()
    ),
    "parameters that hide octets": filled(
        b"\0\1",
        b"\0" + bytes.fromhex("3039301506096086480165030402010c08") + b"\xaa" * 8 + b"\x04\x20" + digest(),
    ),
    "a long length": filled(b"\0\1", b"\0\x30\x81" + DIGEST_INFO[1:] + digest()),
    "an indefinite length": filled(b"\0\1", b"\0\x30\x80" + DIGEST_INFO[2:] + digest() + b"\0\0"),
    "octets behind the DigestInfo": filled(b"\0\1", b"\0" + DIGEST_INFO + digest() + b"\0"),
    "the identifier of SHA-512": filled(
        b"\0\1", b"\0" + bytes.fromhex("3031300d060960864801650304020305000420") + digest()
    ),
    "SHA-1": filled(b"\0\1", b"\0" + SHA1_DIGEST_INFO + hashlib.sha1(OCTETS).digest()),
    "MD5": filled(b"\0\1", b"\0" + MD5_DIGEST_INFO + hashlib.md5(OCTETS).digest()),
    "the octets themselves": filled(b"\0\1", b"\0" + OCTETS),
}


@pytest.mark.parametrize("kind", ["rsa", "rsa-e3"])
def test_the_right_padding_verifies(kind: str) -> None:
    """RFC 8017 section 8.2.2: the builder of the forgeries below, with nothing wrong."""
    verify_signature(rsa_key(kind).public_key(), S.RSA_PKCS1_SHA256, raw(rsa_key(kind), RIGHT), OCTETS)


@pytest.mark.parametrize("kind", ["rsa", "rsa-e3"])
@pytest.mark.parametrize("flaw", WRONG_PADDING)
def test_wrong_paddings(kind: str, flaw: str) -> None:
    """RFC 8017 section 8.2.2: the whole encoded message is compared, not parsed (class K; CVE-2018-16151, -16152)."""
    assert len(WRONG_PADDING[flaw]) == 256
    refuse(rsa_key(kind).public_key(), S.RSA_PKCS1_SHA256, raw(rsa_key(kind), WRONG_PADDING[flaw]))


def cube_root(number: int) -> int:
    """The smallest integer whose cube is not below ``number``."""
    low, high = 0, 1 << (number.bit_length() // 3 + 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < number else (low, middle)
    return low


def forged_by_cube_root(octets: bytes) -> bytes:
    """A signature without the private key, where the exponent is 3: its cube begins as the right padding would."""
    head = b"\0\1" + b"\xff" * 8 + b"\0" + DIGEST_INFO + digest(octets)
    signature = cube_root(int.from_bytes(head.ljust(256, b"\0")))
    assert (signature**3).to_bytes(256).startswith(head)
    return signature.to_bytes(256)


def test_a_forgery_without_the_key() -> None:
    """Exponent 3 and a verifier that does not look behind the hash: nobody needs the private key (CVE-2006-4339)."""
    forged = forged_by_cube_root(OCTETS)
    refuse(rsa_key("rsa-e3").public_key(), S.RSA_PKCS1_SHA256, forged)
    refuse(rsa_key("rsa").public_key(), S.RSA_PKCS1_SHA256, forged)


def test_a_certificate_forged_without_the_key() -> None:
    """The same on the signature of a certificate."""
    root = pki.issue(pki.name("Root"), pki.key("rsa-e3"), None, pki.authority_extensions())
    right = pki.end_entity(root)
    assert verify_chain(right.der, [], root.trust, GATEWAY, pki.NOW).public_key == right.key.public_key()
    tbs, identifier = right.certificate.tbs_certificate_bytes, S.RSA_PKCS1_SHA256.identifier
    signature = pki.der(3, b"\0" + forged_by_cube_root(tbs))
    with pytest.raises(AuthenticationFailed, match="no certificate that came along leads to one"):
        verify_chain(pki.der(0x30, tbs, identifier, signature), [], root.trust, GATEWAY, pki.NOW)


RSA_SCHEMES = [each for each in S if each.key_kind == "rsa"]


@pytest.mark.parametrize("scheme", RSA_SCHEMES, ids=lambda scheme: scheme.text)
@pytest.mark.parametrize("kind", ["rsa", "rsa-e3"])
def test_degenerate_numbers(kind: str, scheme: SignatureScheme) -> None:
    """RFC 8017 section 5.2.2: a signature is below the modulus and as long as it (CVE-2017-11185, CVE-2018-17540)."""
    public = rsa_key(kind).public_key()
    modulus = public.public_numbers().n
    for number in (0, 1, 2, modulus - 1, modulus, modulus + 1, 2**2048 - 1):
        refuse(public, scheme, number.to_bytes(256))
    for length in (0, 1, 255, 257, 512, 4096):
        refuse(public, scheme, bytes(length))
        refuse(public, scheme, b"\xff" * length)


def test_a_right_signature_of_another_length_or_size() -> None:
    """RFC 8017 section 8.2.2 step 1: "if the length of the signature S is not k octets, output "invalid signature""."""
    key = rsa_key("rsa")
    public, signature = key.public_key(), raw(key, RIGHT)
    verify_signature(public, S.RSA_PKCS1_SHA256, signature, OCTETS)
    number, modulus = int.from_bytes(signature), public.public_numbers().n
    for wrong in (
        b"\0" + signature,
        signature + b"\0",
        signature[1:],
        signature[:-1],
        signature[::-1],
        (number + modulus).to_bytes(257),
        (modulus - number).to_bytes(256),
    ):
        refuse(public, S.RSA_PKCS1_SHA256, wrong)


# -- RSASSA-PSS (RFC 8017 section 8.1)


def mgf1(seed: bytes, length: int, function: str = "sha256") -> bytes:
    blocks = [hashlib.new(function, seed + each.to_bytes(4)).digest() for each in range(length // 16 + 1)]
    return b"".join(blocks)[:length]


def emsa_pss(
    octets: bytes = OCTETS,
    salt: bytes = b"s" * 32,
    *,
    zeros: int | None = None,
    separator: int = 1,
    trailer: int = 0xBC,
    mask_function: str = "sha256",
    eight_zeros: bytes = bytes(8),
) -> bytes:
    """EMSA-PSS-ENCODE for 2047 bits (RFC 8017 section 9.1.1), each part to be made wrong."""
    hashed = hashlib.sha256(eight_zeros + digest(octets) + salt).digest()
    room = 256 - 32 - 1
    data = bytes(room - len(salt) - 1) + bytes((separator,)) + salt
    if zeros is not None:
        data = bytes((zeros,)) + data[1:]
    masked = bytearray(a ^ b for a, b in zip(data, mgf1(hashed, room, mask_function), strict=True))
    masked[0] &= 0x7F
    return bytes(masked) + hashed + bytes((trailer,))


WRONG_PSS = {
    "no salt": emsa_pss(salt=b""),
    "salt of SHA-1's length": emsa_pss(salt=b"s" * 20),
    "salt an octet too short": emsa_pss(salt=b"s" * 31),
    "salt an octet too long": emsa_pss(salt=b"s" * 33),
    "as much salt as there is room": emsa_pss(salt=b"s" * 222),
    "another trailer": emsa_pss(trailer=0xCC),
    "no separator": emsa_pss(separator=0),
    "another separator": emsa_pss(separator=2),
    "padding that is not zero": emsa_pss(zeros=0x40),
    "a mask over SHA-1": emsa_pss(mask_function="sha1"),
    "a mask over SHA-512": emsa_pss(mask_function="sha512"),
    "M' that does not begin with zeros": emsa_pss(eight_zeros=b"\1" * 8),
    "the padding of the older scheme": RIGHT,
}


def test_the_right_pss_verifies() -> None:
    """RFC 8017 section 9.1.1: the builder of the forgeries below, with nothing wrong."""
    for kind in ("rsa", "rsa-e3"):
        verify_signature(rsa_key(kind).public_key(), S.RSA_PSS_SHA256, raw(rsa_key(kind), emsa_pss()), OCTETS)


@pytest.mark.parametrize("flaw", WRONG_PSS)
def test_wrong_pss(flaw: str) -> None:
    """RFC 8017 section 9.1.2 steps 4 to 14 (class K)."""
    key = rsa_key("rsa")
    refuse(key.public_key(), S.RSA_PSS_SHA256, raw(key, WRONG_PSS[flaw]))


@pytest.mark.parametrize(
    ("function", "salt"), [(hashes.SHA256(), 64), (hashes.SHA512(), 32), (hashes.SHA1(), 32), (hashes.SHA256(), 0)]
)
def test_pss_of_another_hash_or_salt(function: hashes.HashAlgorithm, salt: int) -> None:
    key = rsa_key("rsa")
    signature = key.sign(OCTETS, padding.PSS(padding.MGF1(function), salt), function)
    for scheme in (S.RSA_PSS_SHA256, S.RSA_PSS_SHA384, S.RSA_PSS_SHA512):
        refuse(key.public_key(), scheme, signature)


def _certificate_by_pss(identifier: bytes, salt: int) -> tuple[bytes, pki.Entity]:
    """A certificate signed by RSASSA-PSS, whose AlgorithmIdentifier may say something else."""
    root = pki.issue(pki.name("Root"), pki.key("rsa"), None, pki.authority_extensions())
    entity = pki.end_entity(root)
    tbs = entity.certificate.tbs_certificate_bytes[4:].replace(S.RSA_PKCS1_SHA256.identifier, identifier)
    tbs = pki.der(0x30, tbs)
    signature = rsa_key("rsa").sign(tbs, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
    return pki.der(0x30, tbs, identifier, pki.der(3, b"\0" + signature)), root


PSS_IN_CERTIFICATES = {
    "salt of another length": pki.pss_identifier(1, pki.integer(20)),
    "a negative salt": pki.pss_identifier(1, pki.integer(-32)),
    "2 GiB of salt (CVE-2021-41990)": pki.pss_identifier(1, pki.integer(2**31 - 1)),
    "more salt than any number holds": pki.pss_identifier(1, pki.integer(2**70)),
    "another hash": pki.pss_identifier(3, pki.integer(32)),
    "another hash for the mask": pki.pss_identifier(1, pki.integer(32), mask_function=3),
    "parameters missing (CVE-2018-6459)": bytes.fromhex("300b06092a864886f70d01010a"),
    "parameters NULL": bytes.fromhex("300d06092a864886f70d01010a0500"),
    "default parameters": bytes.fromhex("300d06092a864886f70d01010a3000"),
}


def test_a_certificate_signed_by_pss() -> None:
    """RFC 4055 section 3: the builder of the forgeries below, with nothing wrong."""
    der, root = _certificate_by_pss(pki.pss_identifier(1, pki.integer(32)), 32)
    assert verify_chain(der, [], root.trust, GATEWAY, pki.NOW)


@pytest.mark.parametrize("flaw", PSS_IN_CERTIFICATES)
def test_certificates_with_wrong_parameters_of_pss(flaw: str) -> None:
    """RFC 4055 section 3.1: the parameters of the AlgorithmIdentifier decide, and they are a stranger's."""
    der, root = _certificate_by_pss(PSS_IN_CERTIFICATES[flaw], 32)
    with pytest.raises(AuthenticationFailed):
        verify_chain(der, [], root.trust, GATEWAY, pki.NOW)


# -- ECDSA (RFC 7427 appendix A.3, RFC 4754)


ORDERS = {
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "p384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


def ec_key(kind: str, name: str = "") -> ec.EllipticCurvePrivateKey:
    key = pki.key(kind, name)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def in_der(r: int, s: int) -> bytes:
    return pki.der(0x30, pki.integer(r), pki.integer(s))


@pytest.mark.parametrize("kind", ORDERS)
def test_degenerate_points(kind: str) -> None:
    """FIPS 186-5 section 6.4.2: r and s lie between 1 and n - 1. r = s = 0 verified for everybody in CVE-2022-21449."""
    public, order = ec_key(kind).public_key(), ORDERS[kind]
    r, s = decode_dss_signature(ec_key(kind).sign(OCTETS, ec.ECDSA(hashes.SHA256())))
    verify_signature(public, S.ECDSA_SHA256, in_der(r, s), OCTETS)
    edges = (0, 1, -1, order - 1, order, order + 1, 2 * order, 2**521)
    for one in (*edges, r, r + order, -r):
        for other in (*edges, s, s + order, -s):
            if (one, other) != (r, s):
                refuse(public, S.ECDSA_SHA256, in_der(one, other))


@pytest.mark.parametrize(("kind", "method", "length"), [("p256", 9, 32), ("p384", 10, 48), ("p521", 11, 66)])
def test_degenerate_points_side_by_side(kind: str, method: int, length: int) -> None:
    """RFC 4754 section 7: the same where r and s have a fixed length."""
    public = ec_key(kind).public_key()
    numbers = (0, 1, 256**length - 1, ORDERS.get(kind, 2**521 - 1))
    for one in numbers:
        for other in numbers:
            octets = one.to_bytes(length) + other.to_bytes(length)
            with pytest.raises(AuthenticationFailed):
                verify_legacy_signature(public, AuthMethod(method), octets, OCTETS)


def _flaws_of_der(r: int, s: int) -> dict[str, bytes]:
    one, other = pki.integer(r), pki.integer(s)
    right = pki.der(0x30, one, other)
    return {
        "octets behind": right + b"\0",
        "octets inside": pki.der(0x30, one, other, b"\x05\0"),
        "a third number": pki.der(0x30, one, other, one),
        "one number": pki.der(0x30, one),
        "nothing": b"",
        "an empty sequence": b"\x30\0",
        "a long length": b"\x30\x81" + right[1:],
        "an indefinite length": b"\x30\x80" + right[2:] + b"\0\0",
        "a set": b"\x31" + right[1:],
        "not minimal": pki.der(0x30, pki.der(2, b"\0" + one[2:]), other),
        "in octet strings": pki.der(0x30, b"\x04" + one[1:], b"\x04" + other[1:]),
        "side by side": r.to_bytes(32) + s.to_bytes(32),
        "swapped": pki.der(0x30, other, one),
        "cut off": right[:-1],
    }


@pytest.mark.parametrize("flaw", _flaws_of_der(1, 1))
def test_encodings_of_ecdsa_that_are_not_der(flaw: str) -> None:
    """RFC 7427 appendix A.3 with RFC 5480: DER has one way to write a signature."""
    key = ec_key("p256")
    r, s = decode_dss_signature(key.sign(OCTETS, ec.ECDSA(hashes.SHA256())))
    verify_signature(key.public_key(), S.ECDSA_SHA256, in_der(r, s), OCTETS)
    refuse(key.public_key(), S.ECDSA_SHA256, _flaws_of_der(r, s)[flaw])


def test_a_signature_on_another_curve() -> None:
    for kind, other in (("p256", "p384"), ("p384", "p521"), ("p521", "p256")):
        signature = ec_key(other).sign(OCTETS, ec.ECDSA(hashes.SHA256()))
        refuse(ec_key(kind).public_key(), S.ECDSA_SHA256, signature)


# -- Ed25519 (RFC 8032 section 5.1.7)


ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def test_degenerate_ed25519() -> None:
    """RFC 8032 section 5.1.7: 64 octets, S below the order of the group; small orders of R prove nothing."""
    signer = pki.key("ed25519")
    assert isinstance(signer, ed25519.Ed25519PrivateKey)
    public, signature = signer.public_key(), signer.sign(OCTETS)
    verify_signature(public, S.ED25519, signature, OCTETS)
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    malleable = r + (s + ED25519_ORDER).to_bytes(32, "little")
    small = [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", b"\xee" + b"\xff" * 30 + b"\x7f"]
    for wrong in (
        b"",
        signature[:63],
        signature + b"\0",
        signature[32:] + r,
        malleable,
        r + bytes(32),
        r + ED25519_ORDER.to_bytes(32, "little"),
        *(each + bytes(32) for each in small),
        *(each + signature[32:] for each in small),
    ):
        refuse(public, S.ED25519, wrong)


# -- keys in certificates that no honest authority would sign, signed by one nevertheless


def _chain_with(spki: bytes) -> Callable[[], object]:
    root = pki.authority("Root")
    entity = pki.end_entity(root)
    der = pki.edited(entity, pki.spki(entity.key), spki, root)
    return lambda: verify_chain(der, [], root.trust, GATEWAY, pki.NOW)


def modulus() -> int:
    return rsa_key("rsa").public_key().public_numbers().n


def ec_spki(curve: str, point: bytes) -> bytes:
    algorithm = pki.der(0x30, bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex(curve))
    return pki.der(0x30, algorithm, pki.der(3, b"\0" + point))


P256 = "06082a8648ce3d030107"
BAD_KEYS: dict[str, Callable[[], bytes]] = {
    "exponent 0 (CVE-2026-14957)": lambda: pki.rsa_spki(modulus(), 0),
    "exponent 1": lambda: pki.rsa_spki(modulus(), 1),
    "exponent 2": lambda: pki.rsa_spki(modulus(), 2),
    "an even exponent": lambda: pki.rsa_spki(modulus(), 65536),
    "a negative exponent": lambda: pki.rsa_spki(modulus(), -3),
    "an exponent as large as the modulus": lambda: pki.rsa_spki(modulus(), modulus()),
    "an exponent beyond the modulus": lambda: pki.rsa_spki(modulus(), modulus() + 2),
    "modulus 0": lambda: pki.rsa_spki(0, 3),
    "modulus 1": lambda: pki.rsa_spki(1, 3),
    "a tiny modulus (CVE-2018-17540)": lambda: pki.rsa_spki(15, 3),
    "a modulus of 512 bits": lambda: pki.rsa_spki(2**511 + 1, 65537),
    "a modulus of 2047 bits": lambda: pki.rsa_spki(2**2046 + 1, 65537),
    "a modulus of 16385 bits": lambda: pki.rsa_spki(2**16384 + 1, 65537),
    "a modulus of 100001 bits": lambda: pki.rsa_spki(2**100_000 + 1, 65537),
    "a negative modulus": lambda: pki.rsa_spki(-modulus(), 65537),
    "numbers missing": lambda: pki.der(0x30, bytes.fromhex("300d06092a864886f70d0101010500"), pki.der(3, b"\0\x30\0")),
    "no octets": lambda: pki.der(0x30, bytes.fromhex("300d06092a864886f70d0101010500"), b"\3\1\0"),
    "the point at infinity": lambda: ec_spki(P256, b"\0"),
    "the point (0, 0)": lambda: ec_spki(P256, b"\4" + bytes(64)),
    "a point off the curve (CVE-2026-35332)": lambda: ec_spki(P256, b"\4" + b"\1" * 64),
    "a point cut off": lambda: ec_spki(P256, pki.spki(pki.key("p256"))[-65:-1]),
    "coordinates beyond the field": lambda: ec_spki(P256, b"\4" + b"\xff" * 64),
    "the implicit curve": lambda: ec_spki("0500", pki.spki(pki.key("p256"))[-65:]),
    "a curve of its own": lambda: ec_spki("3003020101", pki.spki(pki.key("p256"))[-65:]),
    "a curve that nobody knows": lambda: ec_spki("06082a8648ce3d03017f", pki.spki(pki.key("p256"))[-65:]),
    "secp224r1": lambda: pki.spki(pki.key("p224")),
    "secp256k1": lambda: pki.spki(pki.key("p256k1")),
    "Ed25519 of 31 octets": lambda: pki.der(0x30, bytes.fromhex("300506032b6570"), b"\3\x20\0" + bytes(31)),
    "X25519": lambda: pki.der(0x30, bytes.fromhex("300506032b656e"), b"\3\x21\0" + bytes(32)),
    "Ed448": lambda: pki.spki(pki.foreign_key("ed448")),
    "DSA": lambda: pki.spki(pki.foreign_key("dsa")),
    "an algorithm that nobody knows": lambda: pki.der(0x30, bytes.fromhex("300506032b6577"), b"\3\x21\0" + bytes(32)),
}


@pytest.mark.parametrize("flaw", BAD_KEYS)
def test_keys_that_are_none(flaw: str) -> None:
    """RFC 8017 section 3.1, RFC 5480 section 2.2, RFC 8247 section 3.1.1: refused before anything is done with them."""
    with pytest.raises(AuthenticationFailed, match=r"key|does not parse") as caught:
        _chain_with(BAD_KEYS[flaw]())()
    assert caught.value.setting == "remote.ca"


def test_the_same_certificate_with_its_own_key() -> None:
    """What the certificates above are made by makes good ones as well."""
    assert _chain_with(pki.spki(pki.key("p384")))()


def test_an_even_modulus_verifies_nothing() -> None:
    """The library takes such a key; no signature is its own."""
    root = pki.authority("Root")
    entity = pki.end_entity(root)
    der = pki.edited(entity, pki.spki(entity.key), pki.rsa_spki(modulus() + 1, 65537), root)
    key = verify_chain(der, [], root.trust, GATEWAY, pki.NOW).public_key
    for scheme in RSA_SCHEMES:
        for signature in (bytes(256), bytes(255) + b"\1", b"\xff" * 256, raw(rsa_key("rsa"), RIGHT)):
            refuse(key, scheme, signature)
