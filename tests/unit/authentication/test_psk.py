"""AUTH with a preshared key (RFC 7296 section 2.15), against hashlib and hmac on their own."""

from __future__ import annotations

import ast
import hashlib
import hmac
import inspect
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.errors import AuthenticationFailed, Disposition
from caponier.mechanisms.algorithms.prf import HMAC_SHA2_256, HMAC_SHA2_384, HMAC_SHA2_512, PrfAlgorithm
from caponier.mechanisms.authentication import psk
from caponier.mechanisms.authentication.evidence import PeerAuthenticated
from caponier.mechanisms.authentication.identity import Identity, parse_identity
from caponier.mechanisms.authentication.psk import PresharedKey, compute_psk_auth, verify_psk_auth
from caponier.mechanisms.authentication.signed_octets import signed_octets
from caponier.octets import Secret

PRFS = {"sha256": HMAC_SHA2_256, "sha384": HMAC_SHA2_384, "sha512": HMAC_SHA2_512}
PEER = parse_identity("gw.example.com")
ID_BODY = bytes((PEER.type, 0, 0, 0)) + PEER.value
MESSAGE, NONCE, SK_P = b"the first message, header and all", bytes(range(32)), bytes(range(100, 132))


def prf(name: str, key: bytes, data: bytes) -> bytes:
    """RFC 2104, written out: nothing here is the code under test."""
    block = hashlib.new(name).block_size
    padded = (hashlib.new(name, key).digest() if len(key) > block else key).ljust(block, b"\0")
    inner = hashlib.new(name, bytes(each ^ 0x36 for each in padded) + data).digest()
    return hashlib.new(name, bytes(each ^ 0x5C for each in padded) + inner).digest()


def expected(name: str, secret: bytes, octets: bytes) -> bytes:
    return prf(name, prf(name, secret, b"Key Pad for IKEv2"), octets)


@pytest.mark.parametrize("name", PRFS)
def test_octets_that_auth_covers(name: str) -> None:
    """RFC 7296 section 2.15: RealMessage | NonceData | prf(SK_p, RestOfIDPayload)."""
    octets = signed_octets(MESSAGE, NONCE, PRFS[name], Secret(SK_P), ID_BODY)
    assert octets == MESSAGE + NONCE + prf(name, SK_P, ID_BODY)


@pytest.mark.parametrize(
    ("name", "secret"),
    list(
        product(
            PRFS,
            (b"", b"\0", b"x", b"64 octets are what RFC 7296 section 2.15 wants.".ljust(64, b"!"), bytes(range(256))),
        )
    ),
)
def test_auth(name: str, secret: bytes) -> None:
    """RFC 7296 section 2.15: prf(prf(Shared Secret, "Key Pad for IKEv2"), octets); the secret has any length."""
    key = PresharedKey(Secret(secret))
    auth = compute_psk_auth(PRFS[name], key, b"octets")
    assert auth == expected(name, secret, b"octets")
    assert auth == hmac.digest(hmac.digest(secret, b"Key Pad for IKEv2", name), b"octets", name)
    assert verify_psk_auth(PRFS[name], key, b"octets", auth, PEER) == PeerAuthenticated(PEER, "psk")


def test_a_very_long_key() -> None:
    """HMAC takes the digest of a key beyond its block (RFC 2104 section 2): no octet of it may be cut off before."""
    secret = b"k" * 100_000
    key, other = PresharedKey(Secret(secret)), PresharedKey(Secret(secret[:-1] + b"K"))
    auth = compute_psk_auth(HMAC_SHA2_512, key, b"octets")
    assert auth == expected("sha512", secret, b"octets")
    assert auth != compute_psk_auth(HMAC_SHA2_512, other, b"octets")


def refuse(prf_: PrfAlgorithm, secret: bytes, octets: bytes, auth: bytes, who: Identity = PEER) -> AuthenticationFailed:
    with pytest.raises(AuthenticationFailed) as caught:
        verify_psk_auth(prf_, PresharedKey(Secret(secret)), octets, auth, who)
    return caught.value


@pytest.mark.parametrize("name", PRFS)
def test_wrong_keys(name: str) -> None:
    auth = expected(name, b"secret", b"octets")
    for wrong in (b"", b"Secret", b"secret ", b"secret\n", b"secre", b"secretsecret"):
        refuse(PRFS[name], wrong, b"octets", auth)


def test_a_wrong_prf() -> None:
    for one, other in (("sha256", "sha384"), ("sha384", "sha512"), ("sha512", "sha256")):
        refuse(PRFS[one], b"secret", b"octets", expected(other, b"secret", b"octets"))


@pytest.mark.parametrize("part", range(4))
def test_every_part_is_covered(part: int) -> None:
    """RFC 7296 section 2.15: another message, nonce, SK_p or identity, and AUTH is wrong."""
    parts = [MESSAGE, NONCE, SK_P, ID_BODY]
    octets = signed_octets(parts[0], parts[1], HMAC_SHA2_256, Secret(parts[2]), parts[3])
    auth = expected("sha256", b"secret", octets)
    for position in (0, len(parts[part]) // 2, -1):
        changed = bytearray(parts[part])
        changed[position] ^= 1
        other = [*parts[:part], bytes(changed), *parts[part + 1 :]]
        refuse(
            HMAC_SHA2_256, b"secret", signed_octets(other[0], other[1], HMAC_SHA2_256, Secret(other[2]), other[3]), auth
        )


def test_an_identity_of_another_type_or_with_reserved_octets() -> None:
    """RFC 7296 section 2.15: AUTH covers the ID payload's body as it came, its type and RESERVED included."""
    octets = signed_octets(MESSAGE, NONCE, HMAC_SHA2_256, Secret(SK_P), ID_BODY)
    for body in (b"\x0b" + ID_BODY[1:], ID_BODY[:1] + b"\0\0\1" + ID_BODY[4:], ID_BODY + b"\0", ID_BODY[:-1]):
        assert signed_octets(MESSAGE, NONCE, HMAC_SHA2_256, Secret(SK_P), body) != octets


@pytest.mark.parametrize("name", PRFS)
def test_auth_of_another_length(name: str) -> None:
    """A prefix of the right AUTH, however long, proves nothing, nor does anything behind it."""
    auth = expected(name, b"secret", b"octets")
    for length in range(len(auth)):
        refuse(PRFS[name], b"secret", b"octets", auth[:length])
    refuse(PRFS[name], b"secret", b"octets", auth + b"\0")


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_junk(auth: bytes) -> None:
    refuse(HMAC_SHA2_256, b"secret", b"octets", auth)


def test_every_bit_counts() -> None:
    auth = expected("sha256", b"secret", b"octets")
    for bit in range(8 * len(auth)):
        changed = int.from_bytes(auth) ^ (1 << bit)
        refuse(HMAC_SHA2_256, b"secret", b"octets", changed.to_bytes(len(auth)))


def test_the_comparison_takes_constant_time() -> None:
    """Read from the source, for no test can measure it: one call of compare_digest, and no other comparison."""
    tree = ast.parse(inspect.getsource(psk.verify_psk_auth))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls.count("hmac.compare_digest") == 1
    assert not any(isinstance(node, ast.Compare) for node in ast.walk(tree))


def test_the_refusal_says_what_to_do_and_no_secret() -> None:
    secret = b"correct horse battery staple"
    auth = expected("sha256", b"theirs", b"octets")
    error = refuse(HMAC_SHA2_256, secret, b"octets", auth)
    assert (error.setting, error.section) == ("local.secret", "RFC 7296 section 2.15")
    assert error.disposition is Disposition.CLOSE_SA
    assert "gw.example.com" in str(error)
    assert error.hint is not None
    shown = f"{error!r} {error} {error.hint} {vars(error)}"
    right = expected("sha256", secret, b"octets")
    for hidden in (secret, right, auth, hmac.digest(secret, b"Key Pad for IKEv2", "sha256")):
        assert hidden.hex() not in shown
        assert repr(hidden)[2:-1] not in shown


def test_a_key_does_not_show_itself() -> None:
    key = PresharedKey(Secret(b"correct horse"))
    assert repr(key) == "PresharedKey(secret=Secret(13 octets))"
    assert f"{key}" == repr(key)


def test_keys_compare() -> None:
    """A configuration that is read again is compared so."""
    assert PresharedKey(Secret(b"one")) == PresharedKey(Secret(b"one"))
    assert PresharedKey(Secret(b"one")) != PresharedKey(Secret(b"two"))
