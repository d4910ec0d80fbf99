"""Our octets read by a dissector that we did not write (scapy.contrib.ikev2), and the other way round."""

from __future__ import annotations

import logging

import pytest

logging.getLogger("scapy").setLevel(logging.ERROR)
ikev2 = pytest.importorskip("scapy.contrib.ikev2", reason="scapy is not installed")

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType  # noqa: E402 - after the check for scapy
from caponier.mechanisms.negotiation.proposals import DEFAULT_IKE_PROPOSALS  # noqa: E402
from caponier.protocols.ike.messages.header import Header  # noqa: E402
from caponier.protocols.ike.messages.message import decode_message, encode_message  # noqa: E402
from caponier.protocols.ike.messages.payloads import KeyExchange, Nonce, Notify, SecurityAssociation  # noqa: E402

HEADER = Header(
    spi_i=bytes(range(1, 9)),
    spi_r=bytes(8),
    exchange=ExchangeType.IKE_SA_INIT,
    is_initiator=True,
    is_response=False,
    message_id=0,
)


def test_scapy_reads_our_first_message() -> None:
    payloads = (
        SecurityAssociation(DEFAULT_IKE_PROPOSALS[:1]),
        KeyExchange(KeyExchangeId.CURVE25519, bytes(range(32))),
        Nonce(bytes(32)),
        Notify(NotifyType.COOKIE, data=b"cookie"),
    )
    octets = encode_message(HEADER, payloads)
    read = ikev2.IKEv2(octets)
    assert read.init_SPI == HEADER.spi_i
    assert read.exch_type == 34
    assert read.length == len(octets)
    assert read[ikev2.IKEv2_KE].group == 31
    assert bytes(read[ikev2.IKEv2_KE].ke) == bytes(range(32))
    assert bytes(read[ikev2.IKEv2_Nonce].nonce) == bytes(32)
    assert read[ikev2.IKEv2_Notify].type == 16390
    assert read[ikev2.IKEv2_SA].prop.proto == 1


def test_we_read_what_scapy_writes() -> None:
    packet = (
        ikev2.IKEv2(init_SPI=HEADER.spi_i, next_payload="Nonce", exch_type="IKE_SA_INIT", flags="Initiator")
        / ikev2.IKEv2_Nonce(next_payload="Notify", nonce=b"n" * 20)
        / ikev2.IKEv2_Notify(next_payload="None", type="COOKIE", notify=b"cookie")
    )
    message = decode_message(bytes(packet))
    assert message.header == HEADER
    assert message.payloads == (Nonce(b"n" * 20), Notify(NotifyType.COOKIE, data=b"cookie"))
