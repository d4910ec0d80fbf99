"""NAT detection and the move to port 4500 (RFC 7296 section 2.23)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from caponier.doi.ikev2 import NotifyType
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Notify, VendorId
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, Encapsulation, IpAddress, Ports

_HASH_LENGTH = 20  #: octets of SHA-1


def detection_hash(spi_i: bytes, spi_r: bytes, address: IpAddress, port: int) -> bytes:
    """The digest of NAT detection: "SHA-1 digest of the SPIs (in the order they appear in the header), IP address, and port" (section 2.23).

    SHA-1 has no security to give here: the digest only hides an address from NATs that rewrite payloads.
    """
    octets = spi_i + spi_r + address.packed + port.to_bytes(2)
    return hashlib.sha1(octets, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class Nat:
    """What the initial exchange found on the way.

    Attributes:
        here: a NAT before us.
        there: a NAT before the peer, or one that the peer pretends to.
        is_pretended: we pretend that there is a NAT before us, to force encapsulation.
        is_supported: whether the peer knows NAT traversal too.
    """

    here: bool = False
    there: bool = False
    is_pretended: bool = False
    is_supported: bool = False

    @property
    def encapsulates(self) -> bool:
        """Whether IKE moves to port 4500 and ESP travels in UDP."""
        return self.here or self.there or self.is_pretended

    @property
    def follows_peer(self) -> bool:
        """Whether we send to wherever the peer's messages come from: "the hosts ... that are not behind a NAT
        SHOULD" do so, and a host behind one should not (section 2.23)."""
        return self.there and not self.here

    @classmethod
    def detect(cls, message: Message, path: Path, *, is_forced: bool) -> Self:
        """Compare the peer's digests with the addresses that we see; a peer that sends none knows no encapsulation.

        Args:
            message: of IKE_SA_INIT, from the peer.
            path: on which it came.
            is_forced: whether we pretend that there is a NAT before us.
        """
        sources = [n.data for n in message.all(Notify) if n.type == NotifyType.NAT_DETECTION_SOURCE_IP]
        destinations = [n.data for n in message.all(Notify) if n.type == NotifyType.NAT_DETECTION_DESTINATION_IP]
        if not sources or not destinations:
            return cls()
        remote = detection_hash(message.spi_i, message.spi_r, path.remote, path.remote_port)
        local = detection_hash(message.spi_i, message.spi_r, path.local, path.local_port)
        # A multihomed peer may send several sources: one that fits means no NAT.
        return cls(
            here=local not in destinations, there=remote not in sources, is_pretended=is_forced, is_supported=True
        )


def forces(connection: Connection | None) -> bool:
    """Whether we pretend that there is a NAT before us."""
    return connection is not None and connection.encapsulation is Encapsulation.FORCED


def detection_notifies(
    spi_i: bytes, spi_r: bytes, path: Path, *, is_forced: bool, rng: Callable[[int], bytes]
) -> tuple[Notify, Notify]:
    """The two notifications of our side of IKE_SA_INIT.

    With ``is_forced`` the source digest is random, so that the peer finds a NAT before us, keeps to UDP and
    encapsulates ESP: the way of the field to force encapsulation without any extension.
    """
    source = rng(_HASH_LENGTH) if is_forced else detection_hash(spi_i, spi_r, path.local, path.local_port)
    destination = detection_hash(spi_i, spi_r, path.remote, path.remote_port)
    return (
        Notify(NotifyType.NAT_DETECTION_SOURCE_IP, data=source),
        Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, data=destination),
    )


#: Says within IKE_AUTH that we like ESP in UDP better: trains of datagrams cost the system less than packets one by one.
#: Two that say so use it without any NAT (RFC 3948 needs none), and a stranger never learns who we are.
PREFERS_UDP = VendorId(b"Caponier: ESP in UDP")


def preference(connection: Connection) -> tuple[VendorId, ...]:
    """What we say of it in IKE_AUTH."""
    return (PREFERS_UDP,) if connection.encapsulation is Encapsulation.AUTO else ()


def floated(path: Path, ports: Ports) -> Path:
    """The same path on the port of encapsulation: "the initiator ... MUST ... use port 4500" (section 2.23)."""
    if path.encapsulated:
        return path
    remote_port = ports.encapsulated if path.remote_port == ports.ike else path.remote_port
    return replace(path, local_port=ports.encapsulated, remote_port=remote_port, encapsulated=True)
