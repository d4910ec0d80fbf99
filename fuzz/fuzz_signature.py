"""AUTH data of signatures (RFC 7427 section 3, RFC 4754 section 7): a length, an AlgorithmIdentifier, a signature."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from caponier.doi.ikev2 import AuthMethod
from caponier.errors import AuthenticationFailed
from caponier.mechanisms.authentication.signatures import (
    LEGACY_METHODS,
    SignatureScheme,
    decode_signature,
    encode_legacy_signature,
    encode_signature,
    verify_legacy_signature,
    verify_signature,
)
from fuzz.telling import require_told

_CURVES: dict[str, ec.EllipticCurve] = {
    "secp256r1": ec.SECP256R1(),
    "secp384r1": ec.SECP384R1(),
    "secp521r1": ec.SECP521R1(),
}
#: The same keys in every run; they protect nothing.
KEYS = {name: ec.derive_private_key(4321, curve) for name, curve in _CURVES.items()}
SIGNED = b"what the peer's AUTH covers"
_HASHES = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
METHODS = (None, *LEGACY_METHODS)


def _genuine() -> dict[str, bytes]:
    """Method and AUTH data of the right signatures."""
    found = {}
    for curve, key in KEYS.items():
        for scheme, function in zip(
            (SignatureScheme.ECDSA_SHA256, SignatureScheme.ECDSA_SHA384, SignatureScheme.ECDSA_SHA512),
            _HASHES,
            strict=True,
        ):
            signature = key.sign(SIGNED, ec.ECDSA(function, deterministic_signing=True))
            found[f"{curve}-{scheme.text}"] = b"\x00" + encode_signature(scheme, signature)
            for number, row in enumerate(LEGACY_METHODS.values(), 1):
                if (row.curve, row.scheme) == (curve, scheme):
                    found[f"{curve}-legacy"] = bytes((number,)) + encode_legacy_signature(row, signature)
    return found


GENUINE = _genuine()


def seeds() -> dict[str, bytes]:
    identifiers = {scheme.text: b"\x00" + encode_signature(scheme, bytes(64)) for scheme in SignatureScheme}
    return {**GENUINE, **identifiers}


def one(octets: bytes) -> None:
    """A signature that a key has made, or AuthenticationFailed."""
    if not octets:
        return
    method, data = METHODS[octets[0] % len(METHODS)], octets[1:]
    for key in KEYS.values():
        try:
            _verify(key.public_key(), method, data)
        except AuthenticationFailed as error:
            require_told(error)
            continue
        assert _is_genuine(method, data), "a forgery"


def _verify(key: ec.EllipticCurvePublicKey, method: AuthMethod | None, data: bytes) -> None:
    if method is None:
        scheme, signature = decode_signature(data)
        verify_signature(key, scheme, signature, SIGNED)
    else:
        verify_legacy_signature(key, method, data, SIGNED)


def _is_genuine(method: AuthMethod | None, data: bytes) -> bool:
    """Of an ECDSA signature (r, s) anybody can make (r, n - s): that is as good, and no forgery."""
    number = METHODS.index(method)
    same = [each[1:] for each in GENUINE.values() if each[0] == number]
    return any(data[: len(data) // 2] == each[: len(each) // 2] for each in same)
