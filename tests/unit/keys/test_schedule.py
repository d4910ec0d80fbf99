"""The key schedule (RFC 7296 sections 2.13, 2.14, 2.17 and 2.18), against a second reading of the same sections.

The second reading, in this file, is written from the RFC's formulas with the standard library alone.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, ProtocolId
from caponier.errors import MisuseError
from caponier.mechanisms.algorithms.catalog import prf
from caponier.mechanisms.algorithms.suites import ChildSuite, IkeSuite
from caponier.mechanisms.keys.schedule import derive_child_keys, derive_ike_keys, derive_rekeyed_ike_keys, prf_plus
from caponier.octets import Secret

ESP, AH = ProtocolId.ESP, ProtocolId.AH
PRFS = {
    PrfId.PRF_HMAC_SHA2_256: "sha256",
    PrfId.PRF_HMAC_SHA2_384: "sha384",
    PrfId.PRF_HMAC_SHA2_512: "sha512",
}
GCM = IkeSuite(EncryptionId.ENCR_AES_GCM_16, 256, None, PrfId.PRF_HMAC_SHA2_384, KeyExchangeId.ECP_384)
CBC = IkeSuite(
    EncryptionId.ENCR_AES_CBC,
    128,
    IntegrityId.AUTH_HMAC_SHA2_256_128,
    PrfId.PRF_HMAC_SHA2_256,
    KeyExchangeId.MODP_2048,
)
NI, NR, SPI_I, SPI_R = b"i" * 32, b"r" * 24, b"12345678", b"abcdefgh"
SHARED = b"\0\1shared"


def expand(name: str, key: bytes, seed: bytes, length: int) -> bytes:
    """T1 | T2 | ..., T1 = prf (K, S | 0x01), T2 = prf (K, T1 | S | 0x02) (section 2.13)."""
    stream = t = b""
    for number in range(1, 256):
        t = hmac.new(key, t + seed + bytes((number,)), name).digest()
        stream += t
    return stream[:length]


@given(st.sampled_from(sorted(PRFS)), st.binary(max_size=80), st.binary(max_size=80), st.integers(0, 600))
def test_prf_plus(number: PrfId, key: bytes, seed: bytes, length: int) -> None:
    assert prf_plus(prf(number), key, seed, length).expose() == expand(PRFS[PrfId(number)], key, seed, length)


def test_prf_plus_ends_at_255_blocks() -> None:
    """Section 2.13: "prf+ is not defined beyond 255 times the size of the prf function output"."""
    function = prf(PrfId.PRF_HMAC_SHA2_256)
    assert len(prf_plus(function, b"k", b"s", 255 * 32)) == 255 * 32
    with pytest.raises(MisuseError):
        prf_plus(function, b"k", b"s", 255 * 32 + 1)


@pytest.mark.parametrize(("suite", "lengths"), [(GCM, (48, 0, 0, 36, 36, 48, 48)), (CBC, (32, 32, 32, 16, 16, 32, 32))])
def test_ike_keys(suite: IkeSuite, lengths: tuple[int, ...]) -> None:
    """Section 2.14: SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr; RFC 5282 section 7.1: the salt behind SK_e."""
    name = PRFS[suite.prf]
    skeyseed = hmac.new(NI + NR, SHARED, name).digest()
    stream = expand(name, skeyseed, NI + NR + SPI_I + SPI_R, sum(lengths))
    keys = derive_ike_keys(suite, Secret(SHARED), NI, NR, SPI_I, SPI_R)
    found = (keys.sk_d, keys.sk_ai, keys.sk_ar, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr)
    assert tuple(map(len, found)) == lengths
    assert b"".join(key.expose() for key in found) == stream


@pytest.mark.parametrize("number", [PrfId.PRF_AES128_XCBC, PrfId.PRF_AES128_CMAC])
def test_ike_keys_of_prfs_with_fixed_keys(number: PrfId) -> None:
    """Section 2.14: "only the first 64 bits of Ni and the first 64 bits of Nr are used in calculating SKEYSEED, but all the bits
    are used for input to the prf+ function"; section 2.18: a rekey's SKEYSEED has them in the data, whole."""
    function, suite = prf(number), replace(GCM, prf=number)
    seed = NI + NR + SPI_I + SPI_R

    def stream(skeyseed: bytes) -> bytes:
        blocks = [function.compute(skeyseed, seed + b"\1")]
        while len(blocks) < 9:
            blocks.append(function.compute(skeyseed, blocks[-1] + seed + bytes((len(blocks) + 1,))))
        return b"".join(blocks)

    keys = derive_ike_keys(suite, Secret(SHARED), NI, NR, SPI_I, SPI_R)
    wanted = stream(function.compute(NI[:8] + NR[:8], SHARED))
    assert keys.sk_d.expose() + keys.sk_ei.expose() + keys.sk_er.expose() == wanted[: 16 + 36 + 36]
    assert keys.sk_pi.expose() + keys.sk_pr.expose() == wanted[88:120]
    rekeyed = derive_rekeyed_ike_keys(suite, function, keys.sk_d, Secret(SHARED), NI, NR, SPI_I, SPI_R)
    assert rekeyed.sk_d.expose() == stream(function.compute(keys.sk_d, SHARED + NI + NR))[:16]


def test_keys_of_a_rekeyed_ike_sa() -> None:
    """Section 2.18: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old SA's prf."""
    old = prf(PrfId.PRF_HMAC_SHA2_512)
    skeyseed = hmac.new(b"old sk_d", SHARED + NI + NR, hashlib.sha512).digest()
    keys = derive_rekeyed_ike_keys(CBC, old, Secret(b"old sk_d"), Secret(SHARED), NI, NR, SPI_I, SPI_R)
    assert keys.sk_d.expose() == expand("sha256", skeyseed, NI + NR + SPI_I + SPI_R, 32)


@pytest.mark.parametrize("shared", [None, Secret(SHARED)])
@pytest.mark.parametrize(
    ("suite", "lengths"),
    [
        (ChildSuite(ESP, EncryptionId.ENCR_AES_GCM_16, 128, None, None, esn=False), (20, 0, 20, 0)),
        (ChildSuite(ESP, EncryptionId.ENCR_CHACHA20_POLY1305, None, None, None, esn=False), (36, 0, 36, 0)),
        (
            ChildSuite(ESP, EncryptionId.ENCR_AES_CBC, 256, IntegrityId.AUTH_HMAC_SHA2_512_256, None, esn=False),
            (32, 64, 32, 64),
        ),
        # RFC 3686 section 5.1, RFC 4309 section 7.1, RFC 4543 section 5.3: nonce and salt come out of KEYMAT.
        (
            ChildSuite(ESP, EncryptionId.ENCR_AES_CTR, 128, IntegrityId.AUTH_HMAC_SHA1_96, None, esn=True),
            (20, 20, 20, 20),
        ),
        (ChildSuite(ESP, EncryptionId.ENCR_AES_CCM_8, 256, None, None, esn=True), (35, 0, 35, 0)),
        (ChildSuite(ESP, EncryptionId.ENCR_NULL_AUTH_AES_GMAC, 192, None, None, esn=False), (28, 0, 28, 0)),
        (
            ChildSuite(ESP, EncryptionId.ENCR_NULL, None, IntegrityId.AUTH_AES_XCBC_96, None, esn=False),
            (0, 16, 0, 16),
        ),
        (
            ChildSuite(ESP, EncryptionId.ENCR_3DES, None, IntegrityId.AUTH_HMAC_MD5_96, None, esn=False),
            (24, 16, 24, 16),
        ),
        (
            ChildSuite(AH, None, None, IntegrityId.AUTH_HMAC_SHA2_256_128, None, esn=False),
            (0, 32, 0, 32),
        ),
        (ChildSuite(AH, None, None, IntegrityId.AUTH_AES_256_GMAC, None, esn=True), (0, 36, 0, 36)),
    ],
)
def test_child_keys(suite: ChildSuite, lengths: tuple[int, ...], shared: Secret | None) -> None:
    """Section 2.17: the initiator's direction first, encryption before integrity."""
    seed = (shared.expose() if shared else b"") + NI + NR
    stream = expand("sha256", b"sk_d", seed, sum(lengths))
    keys = derive_child_keys(prf(PrfId.PRF_HMAC_SHA2_256), Secret(b"sk_d"), NI, NR, suite, shared)
    found = (keys.initiator_encryption, keys.initiator_integrity, keys.responder_encryption, keys.responder_integrity)
    assert tuple(map(len, found)) == lengths
    assert b"".join(key.expose() for key in found) == stream


def test_wiped_keys_are_zero() -> None:
    keys = derive_ike_keys(CBC, Secret(SHARED), NI, NR, SPI_I, SPI_R)
    keys.wipe()
    assert keys.sk_d.expose() == bytes(32)
    assert keys.sk_pr.expose() == bytes(32)
