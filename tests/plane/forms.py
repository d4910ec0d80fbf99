"""ESP and AH in every form, whole packets of them by scapy: protocol, mode, families, width of the numbers.

A form is what :class:`caponier._plane.Sealer` and :class:`~caponier._plane.Opener` take beside the algorithms. ESP in
tunnel mode is the ESP packet alone; in all other forms whole IP packets go in and come out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import IP, UDP  # noqa: E402 - scapy warns while it is imported
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import AH, ESP, SecurityAssociation  # noqa: E402
from scapy.packet import Packet, Raw  # noqa: E402

from caponier._plane import Opener, Sealer  # noqa: E402
from tests.plane import beyond_scapy  # noqa: E402
from tests.plane.suites import EVERY_AH, EVERY_ESP, Suite  # noqa: E402

assert beyond_scapy  # it completes scapy's tables

Family = Literal[4, 6]
SPI = 0xC0FFEE02
LOWER = 2**32 - 1
GATEWAYS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
HOSTS = {4: ("10.2.0.10", "10.1.0.10"), 6: ("fd00:2::10", "fd00:1::10")}


@dataclass(frozen=True)
class Form:
    """How an SA protects packets.

    Attributes:
        protocol: ``esp`` or ``ah``.
        mode: ``tunnel`` or ``transport``.
        inner: family of the packets.
        outer: family of the gateways' addresses; in transport mode that of the packets.
        esn: whether the sequence numbers have 64 bits.
    """

    protocol: Literal["esp", "ah"]
    mode: Literal["tunnel", "transport"]
    inner: Family
    outer: Family
    esn: bool = False

    @property
    def name(self) -> str:
        ends = f"ipv{self.inner}" if self.inner == self.outer else f"ipv{self.inner}-in-ipv{self.outer}"
        return f"{self.protocol}-{self.mode}-{ends}{'-esn' if self.esn else ''}"

    @property
    def is_tunnel(self) -> bool:
        return self.mode == "tunnel"

    @property
    def is_bare(self) -> bool:
        """Whether there is no outer header: it is the socket's business."""
        return self.is_tunnel and self.protocol == "esp"


def forms() -> list[Form]:
    """All of them. The outer family of ESP in tunnel mode is not seen by the transform."""
    found = []
    for esn in (False, True):
        found += [Form("ah", "tunnel", inner, outer, esn) for inner in (4, 6) for outer in (4, 6)]
        found += [Form("esp", "tunnel", family, family, esn) for family in (4, 6)]
        found += [Form(protocol, "transport", family, family, esn) for protocol in ("esp", "ah") for family in (4, 6)]
    return found


def suites_of(form: Form) -> tuple[Suite, ...]:
    return EVERY_ESP if form.protocol == "esp" else EVERY_AH


def sealer(form: Form, suite: Suite, sequence: int = 1) -> Sealer:
    more: dict[str, Any] = {}
    if form.is_tunnel:
        more["local_address"], more["remote_address"] = GATEWAYS[form.outer]
    return Sealer(
        spi=SPI,
        protocol=form.protocol,
        mode=form.mode,
        **suite.keys(1),
        esn=form.esn,
        sequence=sequence,
        **more,
    )


def opener(form: Form, suite: Suite, replay_window: int = 64) -> Opener:
    return Opener(
        spi=SPI,
        protocol=form.protocol,
        mode=form.mode,
        **suite.keys(1),
        esn=form.esn,
        replay_window=replay_window,
    )


class Peer:
    """One direction of an SA, in scapy's hands.

    What one has to know of scapy 2.8 here, beside what ``tests.plane.reference`` and ``beyond_scapy`` say:

    * It leaves a destination options header in front of ESP and AH in transport mode (as Linux does), where we put the
      IPsec header in front of it, unless a routing header follows; a receiver takes both (RFC 4303 section 3.1.1).
    * It does not follow an IPv4 source route to the destination that the ICV covers (RFC 4302 section 3.3.3.1.1.1).
    * It opens a packet with a routing header as it looks at the receiver, and not before.
    """

    def __init__(self, form: Form, suite: Suite, spi: int = SPI) -> None:
        self.form = form
        keys = suite.keys(1)
        cipher, mac = suite.scapy
        header = (IP if form.outer == 4 else IPv6)(src=GATEWAYS[form.outer][0], dst=GATEWAYS[form.outer][1])
        is_esp = form.protocol == "esp"
        self.sa = SecurityAssociation(
            ESP if is_esp else AH,
            spi=spi,
            crypt_algo=cipher if is_esp else None,
            crypt_key=(keys["encryption_key"] or None) if is_esp else None,
            crypt_icv_size=suite.icv if suite.is_aead else None,
            auth_algo=mac,
            auth_key=keys["integrity_key"] or None,
            tunnel_header=header if form.is_tunnel else None,
            esn_en=form.esn,
        )

    def seal(self, packet: bytes, sequence: int) -> bytes:
        """What leaves; with a sequence number whose lower half is not 0, which scapy takes for none."""
        assert sequence & LOWER
        sealed = self.sa.encrypt(
            _ip(packet), seq_num=sequence & LOWER, esn_en=self.form.esn or None, esn=sequence >> 32
        )
        return bytes(sealed[ESP]) if self.form.is_bare else bytes(sealed)

    def open(self, octets: bytes, sequence: int) -> bytes:
        """What was inside.

        Raises:
            IPSecIntegrityError: the ICV is wrong.
        """
        if self.form.is_bare:
            octets = bytes(self.sa.tunnel_header.copy() / ESP(octets))
        opened = self.sa.decrypt(_ip(octets), esn_en=self.form.esn or None, esn=sequence >> 32)
        return bytes(opened)


def _ip(octets: bytes) -> Packet:
    return IPv6(octets) if octets[0] >> 4 == 6 else IP(octets)


def datagram(family: int, payload: bytes, **header: Any) -> bytes:
    """A UDP datagram with a right checksum, which transport mode must leave as it is."""
    source, destination = HOSTS[family]
    ip = IP(src=source, dst=destination, **header) if family == 4 else IPv6(src=source, dst=destination, **header)
    return bytes(ip / UDP(sport=7000, dport=7001) / Raw(payload))
