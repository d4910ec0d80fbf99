"""Published vectors of the ciphers of IKE beyond AES-GCM-16, AES-CBC and ChaCha20-Poly1305, and the packet core as an oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caponier import _plane
from caponier.doi.ikev2 import EncryptionId, IntegrityId
from caponier.errors import IntegrityFailed
from caponier.mechanisms.algorithms.catalog import cipher, integrity, message_cipher
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.octets import Secret

CTR = json.loads((Path(__file__).parents[2] / "vectors" / "rfc3686_aes_ctr.json").read_text())
SHA256 = IntegrityId.AUTH_HMAC_SHA2_256_128


def with_sha256(encryption: EncryptionId, key_length: int | None, key: str) -> MessageCipher:
    return message_cipher(encryption, key_length, SHA256, Secret(bytes.fromhex(key)), Secret(bytes(32)))


def encrypts(under: MessageCipher, iv: str, plaintext: str, ciphertext: str) -> None:
    """Both ways; the ICV of 16 octets behind is another algorithm's."""
    sealed = under.seal(bytes.fromhex(iv), b"header", bytes.fromhex(plaintext))
    assert sealed[:-16].hex() == iv + ciphertext
    assert under.open(b"header", sealed).hex() == plaintext


@pytest.mark.parametrize("case", CTR, ids=lambda case: str(case["number"]))
def test_aes_ctr(case: dict[str, Any]) -> None:
    """RFC 3686 section 6; in IKE the same (RFC 5930 section 2): the nonce is behind the key, and nothing is padded."""
    bits = 4 * len(case["key"])
    made = with_sha256(EncryptionId.ENCR_AES_CTR, bits, case["key"] + case["nonce"])
    assert (made.iv_length, made.block_size) == (8, 1)
    encrypts(made, case["iv"], case["plaintext"], case["ciphertext"])


@pytest.mark.parametrize(
    ("more", "ciphertext"),
    [
        ("", "67673138549669730857065648eabe43"),
        ("0011223344556677", "b4993401b3e996f84ee5cee7d79b09b9"),
        ("00112233445566778899aabbccddeeff", "9acc237dff16d76c20ef7c919e3a7509"),
    ],
)
def test_camellia_cbc(more: str, ciphertext: str) -> None:
    """RFC 3713 appendix A: one block, which CBC with an IV of zeros leaves as it is."""
    block = "0123456789abcdeffedcba9876543210"
    made = with_sha256(EncryptionId.ENCR_CAMELLIA_CBC, 128 + 4 * len(more), block + more)
    assert (made.iv_length, made.block_size) == (16, 16)
    encrypts(made, "00" * 16, block, ciphertext)


@pytest.mark.parametrize(
    ("key", "iv", "plaintext", "ciphertext"),
    [
        (
            "b5cb1504802326c73df186e3e352a20de643b0d63ee30e37",
            "43f791134c5647ba",
            "dcc153cef81d6f24",
            "92538bd8af18d3ba",
        ),
        (
            "1a5d4c0825072a15a8ad9dfdaeda8c048adffb85bc4fced0",
            "7fcfa736f7548b6f",
            "983c3edacd939406010e1bc6ff9e12320ac5008117fa8f84",
            "d84fa24f38cf451ca2c9adc960120bd8ff9871584fe31cee",
        ),
    ],
)
def test_triple_des_cbc(key: str, iv: str, plaintext: str, ciphertext: str) -> None:
    """NIST CAVP, TDES Multi block Message Test for CBC (TCBCMMT3), counts 0 and 2 of encryption."""
    made = with_sha256(EncryptionId.ENCR_3DES, None, key)
    assert (made.iv_length, made.block_size) == (8, 8)
    encrypts(made, iv, plaintext, ciphertext)


@pytest.mark.parametrize(
    ("key", "nonce", "associated", "plaintext", "sealed"),
    [
        (
            "e6ab9e70a4fb51b01c2e262233e64c0d",
            "74e689eb5af9441dd690a6",
            "42f6518ee0fbe42f28e13b4bb2eb60517b37c9744394d9143393a879c3e107c7",
            "ba15916733550d7aa82b2f6b117cd3f54c83ddc16cd0288a",
            "dcc151443288f35d39ed8fae6f0ce1d1eb656f4f7fd65c0b16f322ce85d7c54e71ac560fd4da9651",
        ),
        (
            "af84c6f302c59aeee6d5728ed5da2e3c64a5a781c52c4d1b",
            "df990c42a268950677c433",
            "a6ab5d78427f297a4b7e21f1091ff3a5b20caa3fe1cbcb09459d9df596a6c8e1",
            "6db41aeb5f7c24df8929dbc30483b3c7934b3bd1cdce5bb9",
            "8c9328258bf71970d33e23a3ff81cc1c9cbe196a1294264bfd6a7255e4801963bb30a63de3fc5b82",
        ),
        (
            "97bc7482a87ba005475dfa3448f59d4b3f9c4c969d08b39b1b21ef965c0f5125",
            "0bcf78103ec52d6df28887",
            "049c10f0cb37ae08eae2d0766563b7c5a8454f841c2061a4f71a0a2158ae6ce5",
            "b99bf4dc781795fc4d3a8467b06e1665d4e543657f23129f",
            "0d3891fa0caac1f7ebe41b480920ffd34d4155064c24f3b17a483163dd8f228d1f20cd4f86cf38fd",
        ),
    ],
)
def test_aes_ccm(key: str, nonce: str, associated: str, plaintext: str, sealed: str) -> None:
    """NIST CAVP, CCM Variable Nonce Test: nonces of 11 octets, which are salt and IV (RFC 5282 section 4)."""
    made = message_cipher(
        EncryptionId.ENCR_AES_CCM_16, 4 * len(key), None, Secret(bytes.fromhex(key + nonce[:6])), None
    )
    protected = bytes.fromhex(nonce[6:] + sealed)
    assert made.seal(bytes.fromhex(nonce[6:]), bytes.fromhex(associated), bytes.fromhex(plaintext)) == protected
    assert made.open(bytes.fromhex(associated), protected).hex() == plaintext


@pytest.mark.parametrize(("number", "length"), [(EncryptionId.ENCR_AES_GCM_8, 8), (EncryptionId.ENCR_AES_GCM_12, 12)])
def test_short_gcm(number: EncryptionId, length: int) -> None:
    """NIST SP 800-38D section 7.1, step 6: a shorter tag is the first octets of the long one."""
    key, iv = Secret(bytes(range(20))), bytes(range(8))
    long = message_cipher(EncryptionId.ENCR_AES_GCM_16, 128, None, key, None).seal(iv, b"header", b"plaintext")
    made = message_cipher(number, 128, None, key, None)
    assert made.icv_length == length
    assert made.seal(iv, b"header", b"plaintext") == long[: length - 16]


#: Every cipher of IKE, with every integrity algorithm somewhere. The packet core has its own, of other libraries.
AEADS = (14, 15, 16, 18, 19, 20)
OTHERS = ((3, None), *((number, bits) for number in (12, 13, 23) for bits in (128, 192, 256)))
ROWS = (
    *((number, bits, 0) for number in AEADS for bits in (128, 192, 256)),
    (28, None, 0),
    *((number, bits, 12) for number, bits in OTHERS),
    *((12, 256, checksum) for checksum in (1, 2, 5, 8, 13, 14)),
)
SPI = 0x01020304
INNER = bytes.fromhex("450000200001000040fd00000a0100010a020001") + b"twelve octet"


@pytest.mark.parametrize(("encryption", "bits", "checksum"), ROWS)
def test_what_the_packet_core_seals_opens(encryption: int, bits: int | None, checksum: int) -> None:
    """RFC 5282 section 1: IKE protects as ESP does. So an ESP packet without ESN is opened by the cipher of IKE, with SPI and
    sequence number as what is associated (RFC 4303 section 2.8, RFC 4106 section 5, RFC 4309 section 5); with anything
    changed it is not."""
    number, integrity_id = EncryptionId(encryption), IntegrityId(checksum) if checksum else None
    key = bytes(range(1, 1 + cipher(number).key_octets(bits)))
    integrity_key = bytes(range(integrity(integrity_id).key_length)) if integrity_id else b""
    sealer = _plane.Sealer(
        spi=SPI,
        encryption=encryption,
        key_length=8 * (len(key) - cipher(number).salt_length),
        encryption_key=key,
        integrity=checksum,
        integrity_key=integrity_key,
        sequence=7,
    )
    packet = sealer.seal(INNER)
    made = message_cipher(number, bits, integrity_id, Secret(key), Secret(integrity_key))
    assert made.open(packet[:8], packet[8:])[: len(INNER)] == INNER
    iv = packet[8 : 8 + made.iv_length]
    plaintext = made.open(packet[:8], packet[8:])
    assert made.seal(iv, packet[:8], plaintext) == packet[8:]
    for at in (0, 8, len(packet) - made.icv_length - 1, len(packet) - 1):
        changed = bytearray(packet)
        changed[at] ^= 1
        with pytest.raises(IntegrityFailed):
            made.open(bytes(changed[:8]), bytes(changed[8:]))
