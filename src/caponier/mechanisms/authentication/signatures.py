"""Digital signatures in the AUTH payload: RFC 7427, RFC 8420 (Ed25519), and RFC 4754's method of its own.

A scheme is known by the DER octets of its AlgorithmIdentifier, and recognised by comparing them whole: nothing of a
stranger's ASN.1 is parsed, so that there is no parameter to overlook and no octet to hide behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caponier.doi.ikev2 import AuthMethod, HashAlgorithm
from caponier.errors import AuthenticationFailed, ConfigError, MisuseError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MIN_RSA_BITS = 2048  #: RFC 8247 section 3.1.1: shorter is SHOULD NOT
MAX_RSA_BITS = 16_384  #: the library computes with no longer ones
_CURVES = ("secp256r1", "secp384r1", "secp521r1")

_HASHES: dict[HashAlgorithm, Callable[[], hashes.HashAlgorithm]] = {
    HashAlgorithm.SHA2_256: hashes.SHA256,
    HashAlgorithm.SHA2_384: hashes.SHA384,
    HashAlgorithm.SHA2_512: hashes.SHA512,
}

#: What we tell a peer that we can verify (SIGNATURE_HASH_ALGORITHMS, RFC 7427 section 4).
SUPPORTED_HASHES = (HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512, HashAlgorithm.IDENTITY)


_NULL, _ABSENT = "0500", ""  # parameters of a hash: the one is as good as the other (RFC 4055 section 2.1)
_TRAILER = "a303020101"  # trailerField: DER leaves this default out, the example of RFC 7427 appendix A.4.3 does not


def _pss_identifier(
    hash_oid: str, salt_length: int, parameters: str = _NULL, mask_parameters: str = _NULL, trailer: str = _ABSENT
) -> str:
    """RSASSA-PSS with equal hashes and a salt as long as the hash (RFC 7427 appendix A.4, RFC 4055 section 3.1).

    Args:
        hash_oid: content of the hash's object identifier, hexadecimal.
        salt_length: octets.
        parameters: of the hash, as we write them NULL.
        mask_parameters: of the same hash in the mask generation function.
        trailer: the trailerField, as we write it not at all.
    """
    hash_algorithm, mask_hash = _sequence(f"0609{hash_oid}{parameters}"), _sequence(f"0609{hash_oid}{mask_parameters}")
    mask = _sequence(f"06092a864886f70d010108{mask_hash}")
    fields = _tagged("a0", hash_algorithm) + _tagged("a1", mask) + f"a2030201{salt_length:02x}" + trailer
    return _sequence("06092a864886f70d01010a" + _sequence(fields))


def _tagged(tag: str, content: str) -> str:
    return f"{tag}{len(content) // 2:02x}{content}"


def _sequence(content: str) -> str:
    return _tagged("30", content)


_OID_SHA256, _OID_SHA384, _OID_SHA512 = "608648016503040201", "608648016503040202", "608648016503040203"


class SignatureScheme(Enum):
    """A signature algorithm with its hash: (name, RFC 7427 hash, kind of key, AlgorithmIdentifier in hexadecimal)."""

    ED25519 = ("ed25519", HashAlgorithm.IDENTITY, "ed25519", "3005 0603 2b6570")
    ECDSA_SHA256 = ("ecdsa-sha256", HashAlgorithm.SHA2_256, "ecdsa", "300a 0608 2a8648ce3d040302")
    ECDSA_SHA384 = ("ecdsa-sha384", HashAlgorithm.SHA2_384, "ecdsa", "300a 0608 2a8648ce3d040303")
    ECDSA_SHA512 = ("ecdsa-sha512", HashAlgorithm.SHA2_512, "ecdsa", "300a 0608 2a8648ce3d040304")
    RSA_PSS_SHA256 = ("rsa-pss-sha256", HashAlgorithm.SHA2_256, "rsa", _pss_identifier(_OID_SHA256, 32))
    RSA_PSS_SHA384 = ("rsa-pss-sha384", HashAlgorithm.SHA2_384, "rsa", _pss_identifier(_OID_SHA384, 48))
    RSA_PSS_SHA512 = ("rsa-pss-sha512", HashAlgorithm.SHA2_512, "rsa", _pss_identifier(_OID_SHA512, 64))
    RSA_PKCS1_SHA256 = ("rsa-sha256", HashAlgorithm.SHA2_256, "rsa", "300d 0609 2a864886f70d01010b 0500")
    RSA_PKCS1_SHA384 = ("rsa-sha384", HashAlgorithm.SHA2_384, "rsa", "300d 0609 2a864886f70d01010c 0500")
    RSA_PKCS1_SHA512 = ("rsa-sha512", HashAlgorithm.SHA2_512, "rsa", "300d 0609 2a864886f70d01010d 0500")

    def __init__(self, text: str, hash_algorithm: HashAlgorithm, key_kind: str, identifier: str) -> None:
        self.text = text
        self.hash = hash_algorithm
        self.key_kind = key_kind
        self.identifier = bytes.fromhex(identifier)  #: DER

    @property
    def is_pss(self) -> bool:
        return self.text.startswith("rsa-pss")


_HASH_OF_PSS = {
    SignatureScheme.RSA_PSS_SHA256: (_OID_SHA256, 32),
    SignatureScheme.RSA_PSS_SHA384: (_OID_SHA384, 48),
    SignatureScheme.RSA_PSS_SHA512: (_OID_SHA512, 64),
}


def _spellings(scheme: SignatureScheme) -> Iterator[bytes]:
    """The AlgorithmIdentifiers that say one scheme: how we write it, and what RFC 4055 lets others write."""
    yield scheme.identifier
    if scheme.is_pss:
        oid, salt_length = _HASH_OF_PSS[scheme]
        for variant in product((_NULL, _ABSENT), (_NULL, _ABSENT), (_ABSENT, _TRAILER)):
            yield bytes.fromhex(_pss_identifier(oid, salt_length, *variant))
    elif scheme.key_kind == "rsa":  # "MUST accept the parameters being absent as well as present": RFC 4055 section 5
        yield bytes.fromhex(_sequence(scheme.identifier[2:-2].hex()))


_BY_IDENTIFIER = {identifier: scheme for scheme in SignatureScheme for identifier in _spellings(scheme)}

#: What we sign with, best first, by kind of key; for ECDSA the curve decides first.
_PREFERENCE: dict[str, tuple[SignatureScheme, ...]] = {
    "ed25519": (SignatureScheme.ED25519,),
    "ecdsa": (SignatureScheme.ECDSA_SHA256, SignatureScheme.ECDSA_SHA384, SignatureScheme.ECDSA_SHA512),
    "rsa": (
        SignatureScheme.RSA_PSS_SHA256,
        SignatureScheme.RSA_PSS_SHA384,
        SignatureScheme.RSA_PSS_SHA512,
    ),
}
_OF_CURVE = {
    "secp256r1": SignatureScheme.ECDSA_SHA256,
    "secp384r1": SignatureScheme.ECDSA_SHA384,
    "secp521r1": SignatureScheme.ECDSA_SHA512,
}


@dataclass(frozen=True, slots=True)
class EcdsaMethod:
    """An authentication method of RFC 4754: one curve with one hash, the signature as r and s side by side."""

    curve: str
    scheme: SignatureScheme
    length: int  #: octets of r, and of s


#: Methods from before RFC 7427 that are still sound. RSA_SIGNATURE is not among them: its hash is SHA-1.
LEGACY_METHODS: dict[AuthMethod, EcdsaMethod] = {
    AuthMethod.ECDSA_P256: EcdsaMethod("secp256r1", SignatureScheme.ECDSA_SHA256, 32),
    AuthMethod.ECDSA_P384: EcdsaMethod("secp384r1", SignatureScheme.ECDSA_SHA384, 48),
    AuthMethod.ECDSA_P521: EcdsaMethod("secp521r1", SignatureScheme.ECDSA_SHA512, 66),
}


class PrivateKey:
    """A private key that signs and otherwise keeps to itself."""

    __slots__ = ("_key",)

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def load(cls, octets: bytes) -> PrivateKey:
        """Read a private key from PEM or DER.

        Raises:
            ConfigError: not a private key, encrypted, or of a kind or size that we do not sign with.
        """
        load = serialization.load_pem_private_key if b"-----BEGIN" in octets else serialization.load_der_private_key
        try:
            key = load(octets, None)
        except TypeError:
            raise ConfigError(
                "the private key is encrypted", hint="decrypt it: openssl pkey -in KEY -out PLAIN"
            ) from None
        except UnsupportedAlgorithm as error:
            raise ConfigError(
                f"we do not sign with this private key: {error}", hint="take an RSA, ECDSA or Ed25519 key"
            ) from None
        except ValueError:
            raise ConfigError("this is no private key", hint="give it as PEM: -----BEGIN PRIVATE KEY-----") from None
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise ConfigError(
                f"we do not sign with keys of {type(key).__name__.removesuffix('PrivateKey')}",
                hint="take an RSA, ECDSA or Ed25519 key",
            )
        weakness = weakness_of(key.public_key())
        if weakness is not None:
            raise ConfigError(f"the private key is {weakness}", hint="make one of RSA 2048 bits or more, or on P-256")
        return cls(key)

    def __repr__(self) -> str:
        return f"PrivateKey({self.kind})"

    def __eq__(self, other: object) -> bool:
        """Equal keys have equal public keys; a configuration that is read again is compared so."""
        return isinstance(other, PrivateKey) and self.public_key == other.public_key

    def __hash__(self) -> int:
        return hash(self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @property
    def kind(self) -> str:
        """``rsa``, ``ecdsa`` or ``ed25519``."""
        return key_kind(self.public_key)

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key()

    def sign(self, scheme: SignatureScheme, octets: bytes) -> bytes:
        """The signature: r and s in DER for ECDSA (RFC 7427 appendix A.3), raw for the others.

        Raises:
            MisuseError: the scheme is for another kind of key.
        """
        key = self._key
        if scheme.key_kind != self.kind:
            raise MisuseError(f"a key of {self.kind} cannot sign by {scheme.text}")
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(octets)
        hash_function = _HASHES[scheme.hash]()
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(octets, ec.ECDSA(hash_function))
        return key.sign(octets, _rsa_padding(scheme, hash_function), hash_function)


def _rsa_padding(scheme: SignatureScheme, function: hashes.HashAlgorithm) -> padding.AsymmetricPadding:
    if scheme.is_pss:
        return padding.PSS(padding.MGF1(function), function.digest_size)
    return padding.PKCS1v15()


def key_kind(key: PublicKey) -> str:
    """``rsa``, ``ecdsa`` or ``ed25519``."""
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    return "ecdsa" if isinstance(key, ec.EllipticCurvePublicKey) else "ed25519"


def weakness_of(key: object) -> str | None:
    """Why a public key is not good enough for us; None when it is."""
    if isinstance(key, rsa.RSAPublicKey):
        is_usable = MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
        return None if is_usable else f"RSA of {key.key_size} bits, we take {MIN_RSA_BITS} to {MAX_RSA_BITS}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return None if key.curve.name in _CURVES else f"on the curve {key.curve.name}, which we do not use"
    return None if isinstance(key, ed25519.Ed25519PublicKey) else f"a {type(key).__name__}, which we do not use"


def choose_scheme(key: PrivateKey, peer_hashes: Collection[HashAlgorithm]) -> SignatureScheme:
    """The scheme to sign with.

    Args:
        key: ours.
        peer_hashes: what the peer announced (RFC 7427 section 4).

    Raises:
        AuthenticationFailed: the peer can verify nothing that this key can make.
    """
    candidates = list(_PREFERENCE[key.kind])
    if isinstance(curve_key := key.public_key, ec.EllipticCurvePublicKey):
        best = _OF_CURVE[curve_key.curve.name]
        candidates.sort(key=lambda scheme: scheme is not best)
    for scheme in candidates:
        if scheme.hash in peer_hashes:
            return scheme
    announced = ", ".join(sorted(each.name for each in peer_hashes)) or "none"
    raise AuthenticationFailed(
        f"the peer verifies signatures over {announced} (RFC 7427); our {key.kind} key cannot make one",
        section="RFC 7427 section 4",
        hint="use a key of another kind, or let the peer allow SHA-2 signatures",
        setting="local.key",
    )


def encode_signature(scheme: SignatureScheme, signature: bytes) -> bytes:
    """The AUTH payload's data for method 14 (RFC 7427 section 3): length, AlgorithmIdentifier, signature."""
    return bytes((len(scheme.identifier),)) + scheme.identifier + signature


def decode_signature(octets: bytes) -> tuple[SignatureScheme, bytes]:
    """Read what :func:`encode_signature` makes.

    Raises:
        AuthenticationFailed: truncated, or an algorithm that we do not verify.
    """
    length = octets[0] if octets else 0
    identifier, signature = octets[1 : 1 + length], octets[1 + length :]
    scheme = _BY_IDENTIFIER.get(identifier) if len(identifier) == length else None
    if scheme is None:
        raise AuthenticationFailed(
            f"the peer signed with an algorithm that we do not verify (AlgorithmIdentifier {identifier.hex() or 'missing'})",
            section="RFC 7427 section 3",
            hint="let the peer sign with RSA-PSS, RSA PKCS#1 v1.5, ECDSA or Ed25519, over SHA-2",
            setting="remote.auth",
        )
    return scheme, signature


def verify_signature(public_key: PublicKey, scheme: SignatureScheme, signature: bytes, octets: bytes) -> None:
    """Check a signature, made as :meth:`PrivateKey.sign` makes it.

    Raises:
        AuthenticationFailed: it is not this key's signature of these octets, or the key is too weak to tell.
    """
    weakness = weakness_of(public_key)
    if weakness is not None:
        raise AuthenticationFailed(
            f"the peer signed with a key that is {weakness}", section="RFC 8247 section 3.1.1", setting="remote.auth"
        )
    if key_kind(public_key) != scheme.key_kind:
        raise AuthenticationFailed(
            f"the peer signed by {scheme.text}, but the key of its certificate is {key_kind(public_key)}",
            section="RFC 7427 section 3",
            setting="remote.auth",
        )
    try:
        _verify(public_key, scheme, signature, octets)
    except InvalidSignature:
        raise AuthenticationFailed(
            "the peer's signature does not verify with the key of its certificate",
            section="RFC 7296 section 2.15",
            hint="the peer's private key and its certificate do not belong together, or somebody stands in between",
            setting="remote.auth",
        ) from None


def _verify(public_key: PublicKey, scheme: SignatureScheme, signature: bytes, octets: bytes) -> None:
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        public_key.verify(signature, octets)
        return
    function = _HASHES[scheme.hash]()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        public_key.verify(signature, octets, ec.ECDSA(function))
    else:
        public_key.verify(signature, octets, _rsa_padding(scheme, function), function)


def verify_legacy_signature(
    public_key: PublicKey, method: AuthMethod, signature: bytes, octets: bytes
) -> SignatureScheme:
    """Check a signature of the methods 9 to 11: r and s of fixed length, side by side (RFC 4754 section 7).

    Returns:
        The scheme that it amounts to.

    Raises:
        AuthenticationFailed: not such a method, another curve, or not this key's signature of these octets.
    """
    row = LEGACY_METHODS.get(method)
    if row is None:
        raise AuthenticationFailed(
            f"the peer authenticates by {method.name}, which we do not verify",
            section="RFC 8247 section 3.1",
            hint="let the peer use signatures of RFC 7427",
            setting="remote.auth",
        )
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.curve.name != row.curve:
        raise AuthenticationFailed(
            f"the peer authenticates by {method.name}, which wants a key on {row.curve}, but its certificate has another",
            section="RFC 4754 section 4",
            setting="remote.auth",
        )
    if len(signature) != 2 * row.length:
        raise AuthenticationFailed(
            f"the peer's signature for {method.name} has {len(signature)} octets, not {2 * row.length}",
            section="RFC 4754 section 7",
            setting="remote.auth",
        )
    r, s = int.from_bytes(signature[: row.length]), int.from_bytes(signature[row.length :])
    verify_signature(public_key, row.scheme, encode_dss_signature(r, s), octets)
    return row.scheme


def legacy_method_of(key: PrivateKey) -> tuple[AuthMethod, EcdsaMethod] | None:
    """How to sign for a peer that did not announce RFC 7427; None where that needs SHA-1."""
    public = key.public_key
    if isinstance(public, ec.EllipticCurvePublicKey):
        for method, row in LEGACY_METHODS.items():
            if row.curve == public.curve.name:
                return method, row
    return None


def encode_legacy_signature(row: EcdsaMethod, signature: bytes) -> bytes:
    """From DER to r and s side by side (RFC 4754 section 7)."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(row.length) + s.to_bytes(row.length)
