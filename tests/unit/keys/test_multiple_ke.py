"""Keys of several key exchanges and of a PPK, against the formulas written out a second time (RFC 9242, 9370, 8784)."""

from __future__ import annotations

import hashlib
import hmac

from caponier.doi.ikev2 import EncryptionId, ExchangeType, KeyExchangeId, PrfId, ProtocolId
from caponier.mechanisms.algorithms.catalog import prf
from caponier.mechanisms.algorithms.suites import ChildSuite, IkeSuite
from caponier.mechanisms.keys.schedule import (
    derive_child_keys,
    derive_further_ike_keys,
    derive_ike_keys,
    derive_rekeyed_ike_keys,
    mix_ppk,
)
from caponier.octets import Secret
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import covered_by, decode_content, encode_message
from caponier.protocols.ike.messages.payloads import Encrypted, KeyExchange
from caponier.protocols.ike.v2.intermediate import Intermediate
from caponier.protocols.ike.v2.protection import Protection

SUITE = IkeSuite(EncryptionId.ENCR_AES_GCM_16, 256, None, PrfId.PRF_HMAC_SHA2_256, KeyExchangeId.CURVE25519)
CHILD = ChildSuite(ProtocolId.ESP, EncryptionId.ENCR_AES_GCM_16, 256, None, KeyExchangeId.CURVE25519, False)
NI, NR, SPI_I, SPI_R = b"i" * 32, b"r" * 32, b"I" * 8, b"R" * 8
SK_D, SK_0, SK_1, SK_2 = b"d" * 32, b"0" * 32, b"1" * 32, b"2" * 32


def mac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, hashlib.sha256)


def stream(key: bytes, seed: bytes, length: int) -> bytes:
    octets, block, number = b"", b"", 1
    while len(octets) < length:
        block = mac(key, block + seed + bytes((number,)))
        octets, number = octets + block, number + 1
    return octets[:length]


def test_an_additional_key_exchange() -> None:
    """RFC 9370 section 2.2.2: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr)."""
    keys = derive_further_ike_keys(SUITE, Secret(SK_D), Secret(SK_1), NI, NR, SPI_I, SPI_R)
    expected = stream(mac(SK_D, SK_1 + NI + NR), NI + NR + SPI_I + SPI_R, 32 + 36 + 36 + 32 + 32)
    made = (keys.sk_d, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr)
    assert b"".join(each.expose() for each in made) == expected


def test_a_rekeyed_ike_sa() -> None:
    """RFC 9370 section 2.2.4: SKEYSEED = prf(SK_d, SK(0) | Ni | Nr | SK(1) | ... | SK(n))."""
    function = prf(SUITE.prf)
    keys = derive_rekeyed_ike_keys(
        SUITE, function, Secret(SK_D), Secret(SK_0), NI, NR, SPI_I, SPI_R, Secret(SK_1 + SK_2)
    )
    assert keys.sk_d.expose() == stream(mac(SK_D, SK_0 + NI + NR + SK_1 + SK_2), NI + NR + SPI_I + SPI_R, 32)


def test_a_child_sa() -> None:
    """RFC 9370 section 2.2.4: KEYMAT = prf+ (SK_d, SK(0) | Ni | Nr | SK(1) | ... | SK(n))."""
    keys = derive_child_keys(prf(SUITE.prf), Secret(SK_D), NI, NR, CHILD, Secret(SK_0), Secret(SK_1 + SK_2))
    expected = stream(SK_D, SK_0 + NI + NR + SK_1 + SK_2, 72)
    assert keys.initiator_encryption.expose() + keys.responder_encryption.expose() == expected


def test_a_ppk() -> None:
    """RFC 8784 section 3: SK_d, SK_pi and SK_pr go through prf+ with the PPK as the key; the others stay."""
    plain = derive_ike_keys(SUITE, Secret(SK_0), NI, NR, SPI_I, SPI_R)
    mixed = mix_ppk(prf(SUITE.prf), Secret(b"a PPK of no less than 32 octets.."), plain)
    for name in ("sk_d", "sk_pi", "sk_pr"):
        before, after = getattr(plain, name).expose(), getattr(mixed, name).expose()
        assert after == mac(b"a PPK of no less than 32 octets..", before + b"\x01")
    assert (mixed.sk_ei, mixed.sk_er, mixed.sk_ai, mixed.sk_ar) == (plain.sk_ei, plain.sk_er, plain.sk_ai, plain.sk_ar)


def test_what_auth_covers_of_ike_intermediate() -> None:
    """RFC 9242 section 3.3.2: both lengths count neither IV nor padding nor checksum, and each round has its own SK_p."""
    rounds = Intermediate()
    assert rounds.int_auth() == b""
    expected_i = expected_r = b""
    for message_id in (1, 2):
        keys = derive_ike_keys(SUITE, Secret(bytes((message_id,)) * 32), NI, NR, SPI_I, SPI_R)
        protection = Protection(SUITE, keys, Role.INITIATOR, bytes)
        peer = Protection(SUITE, keys, Role.RESPONDER, bytes)
        header = Header(
            spi_i=SPI_I,
            spi_r=SPI_R,
            exchange=ExchangeType.IKE_INTERMEDIATE,
            is_initiator=True,
            is_response=False,
            message_id=message_id,
        )
        payload = KeyExchange(KeyExchangeId.ML_KEM_512, b"k" * 800)
        content = bytes((0, 0)) + (808).to_bytes(2) + (35).to_bytes(2) + bytes(2) + b"k" * 800
        associated = encode_message(header, [Encrypted(payload.TYPE, content)])[:32]
        covered = covered_by(header, [payload])
        assert covered == associated + content
        assert int.from_bytes(covered[24:28]) == len(covered)
        assert int.from_bytes(covered[30:32]) == 4 + len(content)
        (sealed,) = protection.seal(header, [payload])
        assert decode_content(peer.open(sealed)).covered == covered
        expected_i = mac(keys.sk_pi.expose(), expected_i + covered)
        expected_r = mac(keys.sk_pr.expose(), expected_r + b"the response")
        rounds.extend(protection, by_initiator=covered, by_responder=b"the response")
    assert rounds.int_auth() == expected_i + expected_r + bytes((0, 0, 0, 3))
