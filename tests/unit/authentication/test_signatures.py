"""Signatures of RFC 7427, RFC 8420 and RFC 4754: which there are, which one we choose, and that they verify."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import AuthMethod, HashAlgorithm
from caponier.errors import AuthenticationFailed, ConfigError, MisuseError
from caponier.mechanisms.authentication.signatures import (
    LEGACY_METHODS,
    SUPPORTED_HASHES,
    PrivateKey,
    SignatureScheme,
    choose_scheme,
    decode_signature,
    encode_legacy_signature,
    encode_signature,
    legacy_method_of,
    verify_legacy_signature,
    verify_signature,
    weakness_of,
)
from tests.unit.authentication import pki

RFC_4754 = json.loads((Path(__file__).parents[2] / "vectors" / "rfc4754_ecdsa.json").read_text())
OCTETS = b"what AUTH covers"
KEYS = {kind: PrivateKey(pki.key(kind)) for kind in ("rsa", "rsa-e3", "p256", "p384", "p521", "ed25519")}
S, H = SignatureScheme, HashAlgorithm

#: AlgorithmIdentifiers as the documents print them, with the scheme that we know them by; None where we refuse.
APPENDIX = {
    "RFC 7427 A.1.1 sha1WithRSAEncryption": ("300d 0609 2a86 4886 f70d 0101 0505 00", None),
    "RFC 7427 A.1.2 sha256WithRSAEncryption": ("300d 0609 2a86 4886 f70d 0101 0b05 00", S.RSA_PKCS1_SHA256),
    "RFC 7427 A.1.3 sha384WithRSAEncryption": ("300d 0609 2a86 4886 f70d 0101 0c05 00", S.RSA_PKCS1_SHA384),
    "RFC 7427 A.1.4 sha512WithRSAEncryption": ("300d 0609 2a86 4886 f70d 0101 0d05 00", S.RSA_PKCS1_SHA512),
    "RFC 7427 A.2.1 dsa-with-sha1": ("3009 0607 2a86 48ce 3804 03", None),
    "RFC 7427 A.2.2 dsa-with-sha256": ("300b 0609 6086 4801 6503 0403 02", None),
    "RFC 7427 A.3.1 ecdsa-with-sha1": ("3009 0607 2a86 48ce 3d04 01", None),
    "RFC 7427 A.3.2 ecdsa-with-sha256": ("300a 0608 2a86 48ce 3d04 0302", S.ECDSA_SHA256),
    "RFC 7427 A.3.3 ecdsa-with-sha384": ("300a 0608 2a86 48ce 3d04 0303", S.ECDSA_SHA384),
    "RFC 7427 A.3.4 ecdsa-with-sha512": ("300a 0608 2a86 48ce 3d04 0304", S.ECDSA_SHA512),
    "RFC 7427 A.4.1 RSASSA-PSS with Empty Parameters": ("300d 0609 2a86 4886 f70d 0101 0a30 00", None),
    "RFC 7427 A.4.2 RSASSA-PSS with Default Parameters": (
        (
            "303e 0609 2a86 4886 f70d 0101 0a30 31a0 0b30 0906 052b 0e03 021a 0500 a118 3016"
            "0609 2a86 4886 f70d 0101 0830 0906 052b 0e03 021a 0500 a203 0201 14a3 0302 0101"
        ),
        None,
    ),
    "RFC 7427 A.4.3 RSASSA-PSS with SHA-256": (
        (
            "3046 0609 2a86 4886 f70d 0101 0a30 39a0 0f30 0d06 0960 8648 0165 0304 0201 0500 a11c 301a 0609 2a86 4886"
            "f70d 0101 0830 0d06 0960 8648 0165 0304 0201 0500 a203 0201 20a3 0302 0101"
        ),
        S.RSA_PSS_SHA256,
    ),
    "RFC 8420 A.1 Ed25519": ("3005 0603 2B65 70", S.ED25519),
    "RFC 8420 A.2 Ed448": ("3005 0603 2B65 71", None),
}


def blob(identifier: bytes, signature: bytes = b"signature") -> bytes:
    return bytes((len(identifier),)) + identifier + signature


# -- AlgorithmIdentifiers


@pytest.mark.parametrize(("octets", "scheme"), APPENDIX.values(), ids=APPENDIX)
def test_algorithm_identifiers_of_the_appendices(octets: str, scheme: SignatureScheme | None) -> None:
    """RFC 7427 appendix A and RFC 8420 appendix A, octet for octet; nothing with SHA-1 (RFC 8247 section 3.2)."""
    identifier = bytes.fromhex(octets)
    if scheme is None:
        with pytest.raises(AuthenticationFailed, match=identifier.hex()):
            decode_signature(blob(identifier))
    else:
        assert decode_signature(blob(identifier)) == (scheme, b"signature")


def test_what_we_write_is_what_the_appendices_print() -> None:
    """All but RSASSA-PSS: its example has a trailerField, which is the default, and DER writes no defaults."""
    printed = {scheme: bytes.fromhex(octets) for octets, scheme in APPENDIX.values() if scheme}
    for scheme in set(printed) - {S.RSA_PSS_SHA256}:
        assert scheme.identifier == printed[scheme]


FUNCTIONS: dict[HashAlgorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    H.SHA2_256: hashes.SHA256(),
    H.SHA2_384: hashes.SHA384(),
    H.SHA2_512: hashes.SHA512(),
}


def _request(scheme: SignatureScheme) -> bytes:
    """A certification request that the library signs by ``scheme``: its DER holds the AlgorithmIdentifier."""
    function = FUNCTIONS.get(scheme.hash)
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.name("x"))
    kind = {"rsa": "rsa", "ecdsa": "p256", "ed25519": "ed25519"}[scheme.key_kind]
    signer = pki.key(kind)
    if scheme.is_pss and function and isinstance(signer, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(function), padding.PSS.DIGEST_LENGTH)
        return builder.sign(signer, function, rsa_padding=pss).public_bytes(Encoding.DER)
    return builder.sign(signer, function).public_bytes(Encoding.DER)


@pytest.mark.parametrize("scheme", S, ids=lambda scheme: scheme.text)
def test_what_we_write_is_what_a_library_writes(scheme: SignatureScheme) -> None:
    """RFC 4055 section 3.1 and 5, RFC 5758 section 3.2, RFC 8410 section 3, by another implementation of them."""
    assert scheme.identifier in _request(scheme)


@pytest.mark.parametrize("scheme", S, ids=lambda scheme: scheme.text)
@settings(deadline=None)
@given(signature=st.binary(max_size=600))
def test_round_trip(scheme: SignatureScheme, signature: bytes) -> None:
    """RFC 7427 section 3: one octet of length, the AlgorithmIdentifier, the signature."""
    encoded = encode_signature(scheme, signature)
    assert encoded == blob(scheme.identifier, signature)
    assert decode_signature(encoded) == (scheme, signature)


def test_absent_parameters() -> None:
    """RFC 4055 section 5: for RSA with SHA-2 absent parameters are as good as NULL."""
    for number, scheme in ((11, S.RSA_PKCS1_SHA256), (12, S.RSA_PKCS1_SHA384), (13, S.RSA_PKCS1_SHA512)):
        identifier = bytes.fromhex(f"300b06092a864886f70d0101{number:02x}")
        assert decode_signature(blob(identifier)) == (scheme, b"signature")


PSS = {1: (S.RSA_PSS_SHA256, 32), 2: (S.RSA_PSS_SHA384, 48), 3: (S.RSA_PSS_SHA512, 64)}
TRAILER = bytes.fromhex("a303020101")


@pytest.mark.parametrize(
    ("function", "null", "more"),
    list(product(PSS, product((True, False), repeat=2), (b"", TRAILER))),
)
def test_spellings_of_pss(function: int, null: tuple[bool, bool], more: bytes) -> None:
    """RFC 4055 section 2.1: parameters of SHA-2 are NULL or absent, both are accepted; the trailer is RFC 7427's."""
    scheme, salt = PSS[function]
    identifier = pki.pss_identifier(function, pki.integer(salt), null=null, more=more)
    assert decode_signature(blob(identifier)) == (scheme, b"signature")
    if null == (True, True) and not more:
        assert identifier == scheme.identifier


@pytest.mark.parametrize(
    "identifier",
    [
        pki.pss_identifier(1, pki.integer(20)),
        pki.pss_identifier(1, pki.integer(0)),
        pki.pss_identifier(1, pki.integer(33)),
        pki.pss_identifier(1, pki.integer(-32)),
        pki.pss_identifier(1, pki.integer(2**31 - 1)),
        pki.pss_identifier(1, pki.integer(2**63 + 32)),
        pki.pss_identifier(1, pki.integer(2**70 + 32)),
        pki.pss_identifier(1, b"\x02\x02\0\x20"),
        pki.pss_identifier(1, pki.integer(32), mask_function=3),
        pki.pss_identifier(1, pki.integer(32), more=bytes.fromhex("a303020102")),
        pki.pss_identifier(1, pki.integer(32), more=b"\x05\0"),
        bytes.fromhex("300b06092a864886f70d01010a"),
        bytes.fromhex("300d06092a864886f70d01010a0500"),
    ],
    ids=[
        "salt of SHA-1's length",
        "no salt",
        "an octet too many",
        "negative salt",
        "2 GiB of salt",
        "beyond 64 bits",
        "and beyond all",
        "not minimal",
        "another hash for the mask",
        "another trailer",
        "an element too many",
        "parameters missing",
        "parameters NULL",
    ],
)
def test_parameters_of_pss_that_we_refuse(identifier: bytes) -> None:
    """RFC 4055 section 3.1; the classes of CVE-2018-6459 (parameters missing) and CVE-2021-41990 (huge salt)."""
    with pytest.raises(AuthenticationFailed, match="do not verify"):
        decode_signature(blob(identifier))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0",
        b"\0signature",
        b"\x05",
        b"\x05\x30\x05\x06\x03\x2b",
        b"\xff" + S.ED25519.identifier,
        blob(S.ED25519.identifier + b"\0"),
        blob(S.ED25519.identifier)[1:],
        bytes((4,)) + S.ED25519.identifier,
        blob(b"\x30\x81\x05" + S.ED25519.identifier[2:]),
        blob(b"\x30\x80" + S.ED25519.identifier[2:] + b"\0\0"),
        blob(b"\x30\x07" + S.ED25519.identifier[2:] + b"\x05\0"),
        blob(b"\x31" + S.ED25519.identifier[1:]),
        blob(bytes.fromhex("300d06092a864886f70d0101040500")),
        blob(bytes.fromhex("300d06092a864886f70d01010e0500")),
    ],
    ids=[
        "nothing",
        "length 0",
        "length 0 and a signature",
        "only a length",
        "cut off",
        "longer than there is",
        "an octet behind",
        "no length",
        "a length too short",
        "a long length",
        "an indefinite length",
        "parameters where none belong",
        "a SET",
        "MD5 with RSA",
        "SHA-224 with RSA",
    ],
)
def test_blobs_that_we_refuse(octets: bytes) -> None:
    """RFC 7427 section 3: the AlgorithmIdentifier is DER; and MD5 is too weak whatever it is written in."""
    with pytest.raises(AuthenticationFailed, match="algorithm that we do not verify") as caught:
        decode_signature(octets)
    assert caught.value.setting == "remote.auth"
    assert "SHA-2" in str(caught.value.hint)


def test_the_example_of_a_payload_with_sha1() -> None:
    """RFC 7427 appendix B.1, from behind the Auth Method."""
    with pytest.raises(AuthenticationFailed, match="300d06092a864886f70d0101050500"):
        decode_signature(bytes.fromhex("0f300d06092a864886f70d0101050500") + bytes(256))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_junk_blobs(octets: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        decode_signature(octets)


# -- the choice


def test_hashes_that_we_announce() -> None:
    """RFC 8247 section 3.2: no SHA-1; RFC 8420 section 3: Identity, for we verify Ed25519."""
    assert SUPPORTED_HASHES == (H.SHA2_256, H.SHA2_384, H.SHA2_512, H.IDENTITY)
    assert {scheme.hash for scheme in S} == set(SUPPORTED_HASHES)


CHOICES = [
    ("rsa", {H.SHA2_256}, S.RSA_PSS_SHA256),
    ("rsa", {H.SHA2_384}, S.RSA_PSS_SHA384),
    ("rsa", {H.SHA2_512}, S.RSA_PSS_SHA512),
    ("rsa", {H.SHA1, H.SHA2_256, H.SHA2_384, H.SHA2_512, H.IDENTITY}, S.RSA_PSS_SHA256),
    ("rsa", {H.SHA1}, None),
    ("rsa", {H.IDENTITY}, None),
    ("p256", {H.SHA2_256, H.SHA2_384, H.SHA2_512}, S.ECDSA_SHA256),
    ("p384", {H.SHA2_256, H.SHA2_384, H.SHA2_512}, S.ECDSA_SHA384),
    ("p521", {H.SHA2_256, H.SHA2_384, H.SHA2_512}, S.ECDSA_SHA512),
    ("p384", {H.SHA2_256}, S.ECDSA_SHA256),
    ("p384", {H.SHA2_512}, S.ECDSA_SHA512),
    ("p521", {H.SHA2_256, H.SHA2_384}, S.ECDSA_SHA256),
    ("p256", {H.SHA2_512}, S.ECDSA_SHA512),
    ("p256", {H.SHA1, H.IDENTITY}, None),
    ("ed25519", {H.IDENTITY}, S.ED25519),
    ("ed25519", {H.SHA2_256, H.IDENTITY}, S.ED25519),
    ("ed25519", {H.SHA2_256, H.SHA2_384, H.SHA2_512}, None),
    ("ed25519", set(), None),
    ("rsa", {H.STREEBOG_256, H(999)}, None),
]


@pytest.mark.parametrize(("kind", "announced", "scheme"), CHOICES)
def test_the_scheme_fits_key_and_peer(kind: str, announced: set[HashAlgorithm], scheme: SignatureScheme | None) -> None:
    """RFC 7427 section 4 and RFC 8420 section 2: nothing over a hash that the peer did not announce."""
    if scheme is not None:
        assert choose_scheme(KEYS[kind], announced) is scheme
        return
    with pytest.raises(AuthenticationFailed) as caught:
        choose_scheme(KEYS[kind], announced)
    assert caught.value.setting == "local.key"
    for each in announced:
        assert each.name in str(caught.value)


@settings(deadline=None)
@given(st.sampled_from(sorted(KEYS)), st.sets(st.sampled_from(list(H)) | st.builds(H, st.integers(0, 0xFFFF))))
def test_any_choice_is_allowed_and_strong(kind: str, announced: set[HashAlgorithm]) -> None:
    """RFC 8247 section 3.2: SHA-1 never, whoever offers it."""
    try:
        scheme = choose_scheme(KEYS[kind], announced)
    except AuthenticationFailed:
        wanted = {H.IDENTITY} if kind == "ed25519" else {H.SHA2_256, H.SHA2_384, H.SHA2_512}
        assert not wanted & announced
    else:
        assert scheme.hash in announced & set(SUPPORTED_HASHES)
        assert scheme.key_kind == KEYS[kind].kind
        assert scheme.is_pss == (KEYS[kind].kind == "rsa")


# -- signing and verifying


FITTING = [(kind, scheme) for kind, scheme in product(KEYS, S) if KEYS[kind].kind == scheme.key_kind]


@pytest.mark.parametrize(("kind", "scheme"), FITTING, ids=lambda value: getattr(value, "text", value))
def test_every_key_signs_by_every_scheme_of_its_kind(kind: str, scheme: SignatureScheme) -> None:
    """RFC 7427 section 3, RFC 8420 section 2."""
    key = KEYS[kind]
    signature = key.sign(scheme, OCTETS)
    verify_signature(key.public_key, scheme, signature, OCTETS)
    for wrong in (
        signature[:-1],
        signature + b"\0",
        bytes(len(signature)),
        signature[:-1] + bytes((signature[-1] ^ 1,)),
    ):
        with pytest.raises(AuthenticationFailed, match="does not verify with the key of its certificate") as caught:
            verify_signature(key.public_key, scheme, wrong, OCTETS)
        assert (caught.value.section, caught.value.setting) == ("RFC 7296 section 2.15", "remote.auth")
    with pytest.raises(AuthenticationFailed):
        verify_signature(key.public_key, scheme, signature, OCTETS + b"\0")


@pytest.mark.parametrize("scheme", [each for each in S if each.is_pss], ids=lambda scheme: scheme.text)
def test_pss_as_announced(scheme: SignatureScheme) -> None:
    """RFC 8017 section 8.1: the salt is as long as the identifier says, the mask over the same hash."""
    public = KEYS["rsa"].public_key
    assert isinstance(public, rsa.RSAPublicKey)
    function, salt = FUNCTIONS[scheme.hash], scheme.identifier[-1]
    pss = padding.PSS(padding.MGF1(function), salt)
    assert salt == function.digest_size
    public.verify(KEYS["rsa"].sign(scheme, OCTETS), OCTETS, pss, function)


@pytest.mark.parametrize(("kind", "scheme"), [(k, s) for k, s in product(KEYS, S) if (k, s) not in FITTING])
def test_an_identifier_that_contradicts_the_key(kind: str, scheme: SignatureScheme) -> None:
    """RFC 7427 section 3: the AlgorithmIdentifier and the certificate's key must be of one kind."""
    key = KEYS[kind]
    with pytest.raises(MisuseError):
        key.sign(scheme, OCTETS)
    signature = key.sign(choose_scheme(key, SUPPORTED_HASHES), OCTETS)
    with pytest.raises(AuthenticationFailed, match=f"signed by {scheme.text}, but .* is {key.kind}"):
        verify_signature(key.public_key, scheme, signature, OCTETS)


@pytest.mark.parametrize(("kind", "scheme"), FITTING, ids=lambda value: getattr(value, "text", value))
def test_another_key_another_scheme(kind: str, scheme: SignatureScheme) -> None:
    other = PrivateKey(pki.key(kind, "another"))
    signature = KEYS[kind].sign(scheme, OCTETS)
    with pytest.raises(AuthenticationFailed):
        verify_signature(other.public_key, scheme, signature, OCTETS)
    for another in [each for each in S if each.key_kind == scheme.key_kind and each is not scheme]:
        with pytest.raises(AuthenticationFailed):
            verify_signature(KEYS[kind].public_key, another, signature, OCTETS)


@pytest.mark.parametrize(("kind", "scheme"), FITTING, ids=lambda value: getattr(value, "text", value))
@settings(deadline=None)
@given(junk=st.binary(max_size=300))
def test_junk_signatures(kind: str, scheme: SignatureScheme, junk: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        verify_signature(KEYS[kind].public_key, scheme, junk, OCTETS)


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
@settings(deadline=None)
@given(r=st.integers(-(2**530), 2**530), s=st.integers(-(2**530), 2**530))
def test_junk_numbers(kind: str, r: int, s: int) -> None:
    """ECDSA: r and s of any size and sign, well-formed in DER."""
    with pytest.raises(AuthenticationFailed):
        verify_signature(KEYS[kind].public_key, S.ECDSA_SHA256, pki.der(0x30, pki.integer(r), pki.integer(s)), OCTETS)


# -- RFC 4754


def _rfc_4754_key(row: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    curve = {9: ec.SECP256R1(), 10: ec.SECP384R1(), 11: ec.SECP521R1()}[row["method"]]
    return ec.EllipticCurvePublicNumbers(int(row["gwx"], 16), int(row["gwy"], 16), curve).public_key()


@pytest.mark.parametrize("row", RFC_4754, ids=lambda row: row["section"])
def test_vectors_of_rfc_4754(row: dict[str, Any]) -> None:
    """RFC 4754 section 8: "abc", signed.

    The RFC prints the method an octet too late, in the first of those that RFC 7296 section 3.8 reserves.
    """
    payload, method = bytes.fromhex(row["payload"]), LEGACY_METHODS[AuthMethod(row["method"])]
    assert payload[4:8] == bytes((0, row["method"], 0, 0))
    scheme = verify_legacy_signature(_rfc_4754_key(row), AuthMethod(row["method"]), payload[8:], b"abc")
    assert scheme is method.scheme
    assert len(payload) == 8 + 2 * method.length
    encoded = encode_dss_signature(int(row["r"], 16), int(row["s"], 16))
    assert encode_legacy_signature(method, encoded) == payload[8:]
    with pytest.raises(AuthenticationFailed):
        verify_legacy_signature(_rfc_4754_key(row), AuthMethod(row["method"]), payload[8:], b"abC")


@pytest.mark.parametrize(
    ("kind", "method"),
    [("p256", AuthMethod.ECDSA_P256), ("p384", AuthMethod.ECDSA_P384), ("p521", AuthMethod.ECDSA_P521)],
)
def test_legacy_methods(kind: str, method: AuthMethod) -> None:
    """RFC 4754 section 7: r and s side by side, each as long as the group's order, 66 octets for P-521."""
    chosen = legacy_method_of(KEYS[kind])
    assert chosen is not None
    assert chosen[0] == method
    row = chosen[1]
    signature = KEYS[kind].sign(row.scheme, OCTETS)
    encoded = encode_legacy_signature(row, signature)
    assert len(encoded) == {"p256": 64, "p384": 96, "p521": 132}[kind]
    assert verify_legacy_signature(KEYS[kind].public_key, method, encoded, OCTETS) is row.scheme
    with pytest.raises(AuthenticationFailed, match="octets, not"):
        verify_legacy_signature(KEYS[kind].public_key, method, signature, OCTETS)


def test_legacy_numbers_are_padded() -> None:
    """RFC 4754 section 7: zeros go before a number that is too short."""
    row = LEGACY_METHODS[AuthMethod.ECDSA_P384]
    assert encode_legacy_signature(row, encode_dss_signature(1, 0x0203)) == bytes(47) + b"\1" + bytes(46) + b"\2\3"


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_keys_without_a_legacy_method(kind: str) -> None:
    """RFC 7296 section 3.8: method 1 signs over SHA-1, and we do not; EdDSA never had one."""
    assert legacy_method_of(KEYS[kind]) is None


@pytest.mark.parametrize("method", [0, 1, 2, 3, 8, 12, 13, 14, 200])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_methods_that_we_do_not_verify(kind: str, method: int) -> None:
    """RFC 7296 section 3.8: RSA over SHA-1 and DSS, RFC 7619's NULL, and what nobody assigned."""
    key = KEYS[kind]
    signature = key.sign(choose_scheme(key, SUPPORTED_HASHES), OCTETS)
    with pytest.raises(AuthenticationFailed, match="which we do not verify") as caught:
        verify_legacy_signature(key.public_key, AuthMethod(method), signature, OCTETS)
    assert AuthMethod(method).name in str(caught.value)
    assert "RFC 7427" in str(caught.value.hint)
    assert caught.value.setting == "remote.auth"


def test_rsa_over_sha1_is_refused_even_when_right() -> None:
    """RFC 7296 section 3.8, method 1, as older peers sign."""
    signer = pki.key("rsa")
    assert isinstance(signer, rsa.RSAPrivateKey)
    signature = signer.sign(OCTETS, padding.PKCS1v15(), hashes.SHA1())
    with pytest.raises(AuthenticationFailed, match="RSA_SIGNATURE"):
        verify_legacy_signature(signer.public_key(), AuthMethod.RSA_SIGNATURE, signature, OCTETS)
    for scheme in (S.RSA_PKCS1_SHA256, S.RSA_PSS_SHA256):
        with pytest.raises(AuthenticationFailed):
            verify_signature(signer.public_key(), scheme, signature, OCTETS)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (k, m)
        for k, m in product(("p256", "p384", "p521", "rsa", "ed25519"), (9, 10, 11))
        if (k, m) not in {("p256", 9), ("p384", 10), ("p521", 11)}
    ],
)
def test_a_key_on_another_curve_than_the_method_wants(kind: str, method: int) -> None:
    """RFC 4754 section 4: each method has its curve."""
    row = LEGACY_METHODS[AuthMethod(method)]
    with pytest.raises(AuthenticationFailed, match=row.curve) as caught:
        verify_legacy_signature(KEYS[kind].public_key, AuthMethod(method), bytes(2 * row.length), OCTETS)
    assert caught.value.setting == "remote.auth"


@pytest.mark.parametrize("method", LEGACY_METHODS)
@settings(deadline=None)
@given(data=st.data())
def test_junk_legacy_signatures(method: AuthMethod, data: st.DataObject) -> None:
    row = LEGACY_METHODS[method]
    kind = {9: "p256", 10: "p384", 11: "p521"}[method]
    length = data.draw(st.sampled_from([0, 1, row.length, 2 * row.length - 1, 2 * row.length, 2 * row.length + 1]))
    junk = data.draw(st.binary(min_size=length, max_size=length))
    with pytest.raises(AuthenticationFailed):
        verify_legacy_signature(KEYS[kind].public_key, method, junk, OCTETS)


# -- private keys


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_private_keys_load(kind: str, encoding: Encoding) -> None:
    loaded = PrivateKey.load(pki.pkcs8(pki.key(kind), encoding))
    assert loaded == KEYS[kind]
    assert hash(loaded) == hash(KEYS[kind])
    verify_signature(
        KEYS[kind].public_key,
        (scheme := choose_scheme(loaded, SUPPORTED_HASHES)),
        loaded.sign(scheme, OCTETS),
        OCTETS,
    )


def test_private_keys_in_openssl_s_own_encoding() -> None:
    """SEC1 and PKCS#1, the first also behind the parameters that ``openssl ecparam -genkey`` writes before it."""
    for kind in ("rsa", "p256"):
        pem = pki.key(kind).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        assert PrivateKey.load(pem) == KEYS[kind]
        assert PrivateKey.load(b"a comment\n" + pem) == KEYS[kind]
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert PrivateKey.load(parameters + pem) == KEYS["p256"]


def test_private_keys_compare() -> None:
    assert KEYS["p256"] != KEYS["p384"]
    assert KEYS["p256"] != PrivateKey(pki.key("p256", "another"))
    assert KEYS["p256"] != "p256"
    assert len({*KEYS.values(), PrivateKey(pki.key("rsa"))}) == len(KEYS)


REFUSED_KEYS = {
    "DSA": pki.pkcs8(pki.foreign_key("dsa")),
    "Ed448": pki.pkcs8(pki.foreign_key("ed448")),
    "RSA of 1024 bits, we take 2048 to 16384": pki.pkcs8(pki.key("rsa-1024")),
    "on the curve secp224r1": pki.pkcs8(pki.key("p224")),
    "on the curve secp256k1": pki.pkcs8(pki.key("p256k1")),
    "encrypted": pki.key("p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    "1.2.840.10045.3.1.9 is not supported": pki.pkcs8(pki.key("p256"), Encoding.DER).replace(
        bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030109")
    ),
    "this is no private key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "this is no private key.": pki.authority("Root").pem,
    "this is no private key..": b"",
}


@pytest.mark.parametrize("cause", REFUSED_KEYS)
def test_private_keys_that_we_refuse(cause: str) -> None:
    """RFC 8247 section 3.1.1 for short RSA keys; each refusal says what to do."""
    with pytest.raises(ConfigError, match=cause.rstrip(".")) as caught:
        PrivateKey.load(REFUSED_KEYS[cause])
    assert caught.value.hint


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_junk_private_keys(octets: bytes) -> None:
    for each in (octets, b"-----BEGIN PRIVATE KEY-----\n" + octets):
        with pytest.raises(ConfigError):
            PrivateKey.load(each)


@settings(deadline=None)
@given(position=st.integers(0, 137), value=st.integers(0, 255))
def test_tampered_private_keys(position: int, value: int) -> None:
    octets = bytearray(pki.pkcs8(pki.key("p256"), Encoding.DER))
    octets[position] = value
    with suppress(ConfigError):
        assert PrivateKey.load(bytes(octets)).kind == "ecdsa"


@pytest.mark.parametrize("kind", KEYS)
def test_a_private_key_does_not_show_itself(kind: str) -> None:
    key = KEYS[kind]
    assert repr(key) == f"PrivateKey({key.kind})"
    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_weaknesses() -> None:
    assert [weakness_of(key.public_key) for key in KEYS.values()] == [None] * len(KEYS)
    assert weakness_of(load_der_public_key(pki.spki(pki.foreign_key("ed448"))))
    assert weakness_of("no key at all")


def test_weak_keys_verify_nothing() -> None:
    """RFC 8247 section 3.1.1: also a right signature of a key that is too short, or on a curve that we do not use."""
    small, odd = pki.key("rsa-1024"), pki.key("p256k1")
    assert isinstance(small, rsa.RSAPrivateKey)
    assert isinstance(odd, ec.EllipticCurvePrivateKey)
    signature = small.sign(OCTETS, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(AuthenticationFailed, match="RSA of 1024 bits"):
        verify_signature(small.public_key(), S.RSA_PKCS1_SHA256, signature, OCTETS)
    with pytest.raises(AuthenticationFailed, match="secp256k1"):
        verify_signature(odd.public_key(), S.ECDSA_SHA256, odd.sign(OCTETS, ec.ECDSA(hashes.SHA256())), OCTETS)


def test_ecdsa_is_der() -> None:
    """RFC 7427 appendix A.3: SEQUENCE { r INTEGER, s INTEGER }."""
    r, s = decode_dss_signature(KEYS["p256"].sign(S.ECDSA_SHA256, OCTETS))
    verify_signature(KEYS["p256"].public_key, S.ECDSA_SHA256, pki.der(0x30, pki.integer(r), pki.integer(s)), OCTETS)


def test_ed25519_is_64_octets() -> None:
    """RFC 8420 section 2 with RFC 8032 section 5.1.6, over the octets themselves: no prehash."""
    signer = pki.key("ed25519")
    assert isinstance(signer, ed25519.Ed25519PrivateKey)
    assert KEYS["ed25519"].sign(S.ED25519, OCTETS) == signer.sign(OCTETS)
    with pytest.raises(AuthenticationFailed):
        verify_signature(signer.public_key(), S.ED25519, signer.sign(hashes_of(OCTETS)), OCTETS)


def hashes_of(octets: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA512())
    digest.update(octets)
    return digest.finalize()
