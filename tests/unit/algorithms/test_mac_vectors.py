"""Published vectors of AES-XCBC, AES-CMAC, HMAC-MD5 and HMAC-SHA1, for integrity and as PRFs; provenance in tests/vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caponier.doi.ikev2 import IntegrityId, PrfId
from caponier.mechanisms.algorithms.aes_mac import aes_xcbc
from caponier.mechanisms.algorithms.catalog import integrity, prf
from caponier.octets import Secret

VECTORS = Path(__file__).parents[2] / "vectors"
XCBC = json.loads((VECTORS / "rfc3566_aes_xcbc.json").read_text())
CMAC = json.loads((VECTORS / "rfc4494_aes_cmac.json").read_text())
PRFS = json.loads((VECTORS / "rfc4434_rfc4615_aes_prf.json").read_text())
PRF_IDS = {"AES-XCBC-PRF-128": PrfId.PRF_AES128_XCBC, "AES-CMAC-PRF-128": PrfId.PRF_AES128_CMAC}

#: RFC 2104's appendix and RFC 2202 sections 2 and 3: key, data, HMAC-MD5, HMAC-SHA1 (of the first and the third case the keys
#: are as long as the hash).
HI = b"Hi There"
JEFE = (b"Jefe", b"what do ya want for nothing?")
HMAC = (
    (PrfId.PRF_HMAC_MD5, b"\x0b" * 16, HI, "9294727a3638bb1c13f48ef8158bfc9d"),
    (PrfId.PRF_HMAC_MD5, *JEFE, "750c783e6ab0b503eaa86e310a5db738"),
    (PrfId.PRF_HMAC_MD5, b"\xaa" * 16, b"\xdd" * 50, "56be34521d144c88dbb8c733f0e8b3f6"),
    (PrfId.PRF_HMAC_SHA1, b"\x0b" * 20, HI, "b617318655057264e28bc0b6fb378c8ef146be00"),
    (PrfId.PRF_HMAC_SHA1, *JEFE, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    (PrfId.PRF_HMAC_SHA1, b"\xaa" * 20, b"\xdd" * 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
)
INTEGRITY_OF = {
    PrfId.PRF_HMAC_MD5: IntegrityId.AUTH_HMAC_MD5_96,
    PrfId.PRF_HMAC_SHA1: IntegrityId.AUTH_HMAC_SHA1_96,
}


@pytest.mark.parametrize("case", XCBC, ids=lambda case: str(case["case"]))
def test_aes_xcbc(case: dict[str, Any]) -> None:
    """RFC 3566 section 4.6: empty, short, whole and many blocks."""
    key, message = bytes.fromhex(case["key"]), bytes.fromhex(case["message"])
    assert aes_xcbc(key, message).hex() == case["mac"]
    assert integrity(IntegrityId.AUTH_AES_XCBC_96).compute(Secret(key), message).hex() == case["icv"]


@pytest.mark.parametrize("case", CMAC, ids=lambda case: str(case["case"]))
def test_aes_cmac(case: dict[str, Any]) -> None:
    """RFC 4494 section 5."""
    key, message = Secret(bytes.fromhex(case["key"])), bytes.fromhex(case["message"])
    assert integrity(IntegrityId.AUTH_AES_CMAC_96).compute(key, message).hex() == case["icv"]


@pytest.mark.parametrize("case", PRFS, ids=lambda case: f"{case['name']}-{len(case['key']) // 2}")
def test_aes_prf(case: dict[str, Any]) -> None:
    """RFC 4434 section 2.1, RFC 4615 section 4: keys that fit, shorter ones, longer ones."""
    function = prf(PRF_IDS[case["name"]])
    key, message = bytes.fromhex(case["key"]), bytes.fromhex(case["message"])
    assert function.compute(key, message) == function.compute(Secret(key), message) == bytes.fromhex(case["output"])
    assert function.key_length == function.output_length == 16


@pytest.mark.parametrize(("number", "key", "data", "digest"), HMAC)
def test_hmac(number: PrfId, key: bytes, data: bytes, digest: str) -> None:
    """RFC 2403 section 2, RFC 2404 section 2: integrity sends the first 96 bits; its key is as long as the hash."""
    function, checksum = prf(number), integrity(INTEGRITY_OF[number])
    assert function.compute(key, data).hex() == digest
    assert function.output_length == function.key_length == checksum.key_length == len(digest) // 2
    assert checksum.icv_length == 12
    if len(key) == checksum.key_length:
        assert checksum.compute(Secret(key), data).hex() == digest[:24]


@pytest.mark.parametrize("number", [PrfId.PRF_AES128_XCBC, PrfId.PRF_AES128_CMAC])
def test_only_half_a_key_of_each_nonce(number: PrfId) -> None:
    """RFC 7296 section 2.14: of these two "only the first 64 bits of Ni and the first 64 bits of Nr are used"."""
    ni, nr = bytes(range(32)), bytes(range(100, 148))
    assert prf(number).seed_key(ni, nr) == ni[:8] + nr[:8]


@pytest.mark.parametrize("number", [PrfId.PRF_HMAC_MD5, PrfId.PRF_HMAC_SHA1, PrfId.PRF_HMAC_SHA2_512])
def test_all_of_each_nonce(number: PrfId) -> None:
    """RFC 7296 section 2.14: a PRF of variable key length takes both nonces whole."""
    assert prf(number).seed_key(b"initiator's", b"responder's") == b"initiator'sresponder's"


@pytest.mark.parametrize("number", list(PRF_IDS.values()))
def test_empty_keys(number: PrfId) -> None:
    """RFC 4434 section 2, RFC 4615 section 3: a key of no octets is one of zeros, or the MAC of nothing; no error."""
    function = prf(number)
    fitted = bytes(16) if number == PrfId.PRF_AES128_XCBC else function.compute(bytes(16), b"")
    assert function.compute(b"", b"data") == function.compute(fitted, b"data")
