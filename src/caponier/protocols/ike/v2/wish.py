"""What a peer says of a Child SA besides its algorithms: the mode, the selectors, whether packets may be padded.

RFC 7296 sections 1.3.1 (modes and padding) and 2.23.1 (transport mode through NATs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import NotifyType
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import (
    Notify,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import IpAddress, Mode
from caponier.protocols.ike.v2.nat import Nat

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

Selectors = tuple[TrafficSelector, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the peer asks for in a request, or agrees to in a reply.

    Attributes:
        mode: tunnel or transport.
        local: its selectors for our side, as sent.
        remote: its selectors for its own side, as sent.
        path: where the message came along.
        nat: what is on that path.
        takes_padding: whether packets may be padded (TFC, RFC 4303 section 2.7).
    """

    mode: Mode
    local: Selectors
    remote: Selectors
    path: Path
    nat: Nat
    takes_padding: bool

    def selectors(self, mode: Mode) -> tuple[Selectors, Selectors]:
        """Local and remote selectors with the addresses that we see (section 2.23.1).

        "If the other end was detected as being behind a NAT, the server replaces the IP address in TSi payloads with
        the IP address obtained from the source address of the IKE packet received", and its own the same way. A tunnel
        has addresses of its own inside, which no NAT sees.
        """
        if mode is Mode.TUNNEL:
            return self.local, self.remote
        local = _moved(self.local, self.path.local) if self.nat.here else self.local
        remote = _moved(self.remote, self.path.remote) if self.nat.there else self.remote
        return local, remote

    @property
    def counted(self) -> tuple[IpAddress, IpAddress] | None:
        """Source and destination that the peer's checksums count, where a NAT changes them (RFC 3948 section 3.1.2)."""
        addresses = self.remote[0].start, self.local[0].start
        return None if addresses == (self.path.remote, self.path.local) else addresses


def wish_of_request(sa: IkeSa, message: Message) -> Wish:
    """What a request of the peer asks for: TSr is our side."""
    local, remote = message.one(TrafficSelectorsResponder).ranges, message.one(TrafficSelectorsInitiator).ranges
    return _wish(sa, message, local, remote)


def wish_of_reply(sa: IkeSa, message: Message) -> Wish:
    """What an answer of the peer agrees to: TSi is our side."""
    local, remote = message.one(TrafficSelectorsInitiator).ranges, message.one(TrafficSelectorsResponder).ranges
    return _wish(sa, message, local, remote)


def mode_notifies(mode: Mode) -> tuple[Notify, ...]:
    """``[N(USE_TRANSPORT_MODE)]`` of a request or its answer."""
    return () if mode is Mode.TUNNEL else (Notify(NotifyType.USE_TRANSPORT_MODE),)


def _wish(sa: IkeSa, message: Message, local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> Wish:
    asks_for_transport = message.notify(NotifyType.USE_TRANSPORT_MODE) is not None
    return Wish(
        mode=Mode.TRANSPORT if asks_for_transport else Mode.TUNNEL,
        local=tuple(local),
        remote=tuple(remote),
        path=sa.path,
        nat=sa.nat,
        takes_padding=message.notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED) is None,
    )


def _moved(selectors: Selectors, address: IpAddress) -> Selectors:
    """The same protocols and ports at another address: "exactly one IP address" is what each has here."""
    return tuple(
        replace(each, start=address, end=address)
        if each.start == each.end and each.start.version == address.version
        else each
        for each in selectors
    )
