"""Published vectors for every algorithm of IKE; provenance beside each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId
from caponier.mechanisms.algorithms.catalog import integrity, key_exchange, message_cipher, prf
from caponier.octets import Secret

VECTORS = Path(__file__).parents[2] / "vectors"
HMAC = json.loads((VECTORS / "rfc4868_hmac.json").read_text())
ECP = json.loads((VECTORS / "rfc5903_ecp.json").read_text())
PRFS = {"prf256": PrfId.PRF_HMAC_SHA2_256, "prf384": PrfId.PRF_HMAC_SHA2_384, "prf512": PrfId.PRF_HMAC_SHA2_512}
INTEGRITIES = {
    "256": IntegrityId.AUTH_HMAC_SHA2_256_128,
    "384": IntegrityId.AUTH_HMAC_SHA2_384_192,
    "512": IntegrityId.AUTH_HMAC_SHA2_512_256,
}


@pytest.mark.parametrize("case", HMAC, ids=lambda case: case["name"])
def test_hmac_sha2(case: dict[str, Any]) -> None:
    """RFC 4868 section 2.7."""
    key, data = bytes.fromhex(case["key"]), bytes.fromhex(case["data"])
    for name, number in PRFS.items():
        if name in case:
            assert prf(number).compute(Secret(key), data).hex() == case[name]
    if "icv" in case:
        size = case["name"].split("AUTH")[1][:3]
        assert integrity(INTEGRITIES[size]).compute(Secret(key), data).hex() == case["icv"]


class Fixed:
    """Random octets that make a wanted private value of an ECP group: d - 1, in as many octets as are asked for."""

    def __init__(self, private: int) -> None:
        self.private = private

    def __call__(self, count: int) -> bytes:
        return (self.private - 1).to_bytes(count)


@pytest.mark.parametrize("case", ECP, ids=lambda case: case["section"])
def test_ecp_groups(case: dict[str, Any]) -> None:
    """RFC 5903 section 8: public values are both coordinates, the shared secret is the x coordinate."""
    group = key_exchange(KeyExchangeId(case["group"]))
    ours = group.generate(Fixed(int(case["i"], 16)))
    theirs = group.generate(Fixed(int(case["r"], 16)))
    assert ours.public.hex() == case["gix"] + case["giy"]
    assert theirs.public.hex() == case["grx"] + case["gry"]
    assert ours.derive_shared(theirs.public).expose().hex() == case["girx"]
    assert theirs.derive_shared(ours.public).expose().hex() == case["girx"]
    assert group.public_length == len(ours.public)


def test_x25519() -> None:
    """RFC 7748 section 6.1."""
    a = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    b = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    group = key_exchange(KeyExchangeId.CURVE25519)
    alice, bob = group.generate(lambda _: a), group.generate(lambda _: b)
    assert alice.public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert bob.public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert alice.derive_shared(bob.public).expose().hex() == bob.derive_shared(alice.public).expose().hex() == shared


#: RFC 2409 section 6.2, RFC 3526 sections 2 to 7: 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + k)
PRIMES = {
    KeyExchangeId.MODP_1024: (1024, 129093),
    KeyExchangeId.MODP_1536: (1536, 741804),
    KeyExchangeId.MODP_2048: (2048, 124476),
    KeyExchangeId.MODP_3072: (3072, 1690314),
    KeyExchangeId.MODP_4096: (4096, 240904),
    KeyExchangeId.MODP_6144: (6144, 929484),
    KeyExchangeId.MODP_8192: (8192, 4743158),
}


def _pi_scaled(bits: int) -> int:
    """floor(2^bits * pi), by Machin's formula with some bits to spare."""
    spare = 64

    def arctan_inverse(x: int) -> int:
        power = total = (1 << bits + spare) // x
        sign, n = -1, 3
        while power:
            power //= x * x
            total += sign * (power // n)
            sign, n = -sign, n + 2
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239)) >> spare


@pytest.mark.parametrize("number", PRIMES)
def test_modp_groups(number: KeyExchangeId) -> None:
    """RFC 2409, RFC 3526: the prime from the formula that it gives, the powers from Python's own arithmetic."""
    bits, k = PRIMES[number]
    prime = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (_pi_scaled(bits - 130) + k)
    group = key_exchange(number)
    ours = group.generate(lambda count: bytes(range(1, count + 1)))
    theirs = group.generate(lambda count: bytes(range(7, count + 7)))
    exponents = [int.from_bytes(bytes(range(start, start + _exponent_length(number)))) for start in (1, 7)]
    assert ours.public == pow(2, exponents[0], prime).to_bytes(bits // 8)
    assert theirs.public == pow(2, exponents[1], prime).to_bytes(bits // 8)
    shared = pow(2, exponents[0] * exponents[1], prime).to_bytes(bits // 8)
    assert ours.derive_shared(theirs.public).expose() == theirs.derive_shared(ours.public).expose() == shared


def _exponent_length(number: KeyExchangeId) -> int:
    asked = []
    key_exchange(number).generate(lambda count: asked.append(count) or bytes(range(1, count + 1)))  # type: ignore[func-returns-value]
    return asked[0]


def test_chacha20_poly1305_in_ike() -> None:
    """RFC 7634 appendix B."""
    key = Secret(bytes(range(0x80, 0xA0)) + bytes.fromhex("a0a1a2a3"))
    cipher = message_cipher(EncryptionId.ENCR_CHACHA20_POLY1305, None, None, key, None)
    associated = bytes.fromhex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029")
    plaintext = bytes.fromhex("0000000c000040010000000a00")
    protected = bytes.fromhex("1011121314151617 610394701f8d017f7c12924889 6b71bfe25236efd7cdc67066906315b2")
    assert cipher.seal(bytes.fromhex("1011121314151617"), associated, plaintext) == protected
    assert cipher.open(associated, protected) == plaintext


def test_aes_gcm() -> None:
    """Test case 4 of "The Galois/Counter Mode of Operation" by McGrew and Viega, its nonce cut into salt and IV."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    ciphertext = bytes.fromhex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
    )
    tag = bytes.fromhex("5bc94fbc3221a5db94fae95ae7121a47")
    cipher = message_cipher(EncryptionId.ENCR_AES_GCM_16, 128, None, Secret(key + nonce[:4]), None)
    assert cipher.seal(nonce[4:], associated, plaintext) == nonce[4:] + ciphertext + tag
    assert cipher.open(associated, nonce[4:] + ciphertext + tag) == plaintext


@pytest.mark.parametrize(
    ("key", "iv", "plaintext", "ciphertext"),
    [
        (
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            b"Single block msg".hex(),
            "e353779c1079aeb82708942dbe77181a",
        ),
        (
            "c286696d887c9aa0611bbb3e2025a45a",
            "562e17996d093d28ddb3ba695a2e6f58",
            bytes(range(32)).hex(),
            "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
        ),
    ],
    ids=["RFC 3602 case 1", "RFC 3602 case 2"],
)
def test_aes_cbc(key: str, iv: str, plaintext: str, ciphertext: str) -> None:
    """RFC 3602 section 4; the checksum behind it is over all in front (RFC 7296 section 3.14)."""
    integrity_key = Secret(bytes(32))
    cipher = message_cipher(
        EncryptionId.ENCR_AES_CBC, 128, IntegrityId.AUTH_HMAC_SHA2_256_128, Secret(bytes.fromhex(key)), integrity_key
    )
    sealed = cipher.seal(bytes.fromhex(iv), b"header", bytes.fromhex(plaintext))
    assert sealed[: 16 + len(ciphertext) // 2].hex() == iv + ciphertext
    checksum = integrity(IntegrityId.AUTH_HMAC_SHA2_256_128).compute(integrity_key, b"header" + sealed[:-16])
    assert sealed[-16:] == checksum
    assert cipher.open(b"header", sealed).hex() == plaintext
