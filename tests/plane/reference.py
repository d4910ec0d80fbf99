"""ESP by scapy (scapy.layers.ipsec): an implementation that shares no code with ours (RFC 4303).

What one has to know of scapy 2.8 here:

* ``SecurityAssociation`` takes the salt behind the key, as we do, and splits it off for the ciphers that have one.
* It cannot be asked for sequence number 0 (``seq_num or self.seq_num``), for another padding than the least, or for
  octets behind the inner packet. So the pieces below it (``crypt_algo``, ``auth_algo``) are called one by one here,
  and ``test_esp.py`` calls the whole beside that.
* ESN is off unless it is asked for; its half number would stand in the associated data.
* It knows no anti-replay window and does not look at the padding: both are for the tests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP  # noqa: E402 - scapy warns while it is imported
from scapy.layers.inet6 import ICMPv6EchoReply, IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation, _ESPPlain  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from tests.plane.suites import Suite  # noqa: E402

IPV4, IPV6, NO_NEXT_HEADER = 4, 41, 59  #: next headers (RFC 4303 section 2.6)


@dataclass(frozen=True)
class Plain:
    """What an ESP packet holds."""

    spi: int
    sequence: int
    iv: bytes
    payload: bytes
    padding: bytes
    next_header: int


class Reference:
    """One direction of a tunnel-mode SA, in scapy's hands.

    Args:
        suite: its algorithms.
        direction: whose keys (:meth:`Suite.keys`).
        spi: its SPI.
    """

    def __init__(self, suite: Suite, direction: int, spi: int) -> None:
        keys = suite.keys(direction)
        cipher, mac = suite.scapy
        self.sa = SecurityAssociation(
            ESP,
            spi=spi,
            crypt_algo=cipher,
            crypt_key=keys["encryption_key"],
            auth_algo=mac,
            auth_key=keys["integrity_key"] or None,
            tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"),
        )

    def seal(
        self,
        payload: bytes,
        sequence: int,
        *,
        next_header: int | None = None,
        padding: bytes | None = None,
        pad_length: int | None = None,
        tfc: bytes = b"",
    ) -> bytes:
        """An ESP packet, from the SPI on.

        Args:
            payload: an inner packet, or whatever a test wants in its place.
            sequence: 32 bits.
            next_header: by the payload's first octet when left out.
            padding: the least when left out.
            pad_length: what the trailer says of it; its length when left out.
            tfc: octets behind the payload (RFC 4303 section 2.7).
        """
        if next_header is None:
            next_header = IPV6 if payload[:1] and payload[0] >> 4 == 6 else IPV4
        plain = _ESPPlain(
            spi=self.sa.spi, seq=sequence, iv=self.sa.crypt_algo.generate_iv(), data=Raw(payload + tfc), nh=next_header
        )
        if padding is None:
            plain = self.sa.crypt_algo.pad(plain)
        else:
            plain.padding, plain.padlen = padding, len(padding)
        if pad_length is not None:
            plain.padlen = pad_length
        sealed = self.sa.crypt_algo.encrypt(self.sa, plain, self.sa.crypt_key)
        return bytes(self.sa.auth_algo.sign(sealed, self.sa.auth_key))

    def open(self, esp: bytes) -> Plain:
        """The content of an ESP packet.

        Raises:
            IPSecIntegrityError: the ICV is wrong.
        """
        packet = ESP(esp)
        self.sa.check_spi(packet)
        self.sa.auth_algo.verify(packet, self.sa.auth_key)
        icv = self.sa.crypt_algo.icv_size or self.sa.auth_algo.icv_size
        plain = self.sa.crypt_algo.decrypt(self.sa, packet, self.sa.crypt_key, icv)
        return Plain(plain.spi, plain.seq, plain.iv, bytes(plain.data), plain.padding, plain.nh)


def inner_packet(version: int, payload: bytes, *, source: str | None = None, destination: str | None = None) -> bytes:
    """An echo reply of 28 or 48 octets more than its payload; a host that gets one unasked keeps silent."""
    if version == 4:
        ip = IP(src=source or "10.2.0.10", dst=destination or "10.1.0.10")
        return bytes(ip / ICMP(type=0, id=1) / Raw(payload))
    ip = IPv6(src=source or "fd00:2::10", dst=destination or "fd00:1::10")
    return bytes(ip / ICMPv6EchoReply(id=1, data=payload))


def counting(length: int) -> bytes:
    """The one legal padding of a length: 1, 2, 3, ... (RFC 4303 section 2.4)."""
    return bytes(range(1, length + 1))
