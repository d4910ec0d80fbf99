"""How protected messages come to an IKE SA, in one piece or in several, and when ours leave in smaller ones (RFC 7383).

An IKE SA calls these for itself; they change its ``fragmentation`` and the answer that it keeps, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caponier.errors import UnexpectedMessage
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Content, Message, decode_content, find_fragment
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.v2.fragmentation import Fragmentation, Sealed, message_room
from caponier.protocols.ike.v2.timers import REASSEMBLY_SECONDS, Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa
    from caponier.protocols.ike.v2.protection import Protection


@dataclass(frozen=True, slots=True)
class Arrival:
    """An authentic message.

    Attributes:
        message: decoded.
        octets: by which it is known when it comes again: the datagram, or its first fragment.
    """

    message: Message
    octets: bytes


def arrive(sa: IkeSa, octets: bytes, header: Header, path: Path) -> Arrival | None:
    """Open a message, or a part of one; None for a part whose others are to come (section 2.6).

    Raises:
        PeerError: it is to be dropped, or it is authentic and wrong.
    """
    protection, fragmentation = sa.protector, sa.fragmentation
    fragment = find_fragment(octets, header)
    if fragment is None:
        content = protection.open(octets, header)
        if fragmentation is not None:
            fragmentation.incoming(is_response=header.is_response).forget(header.message_id)
            if not fragmentation.is_waiting:
                sa.timers.stop(Timer.REASSEMBLY)
        return Arrival(decode_content(content), octets)
    if fragmentation is None:
        raise UnexpectedMessage("a fragment of a message, and nobody agreed on fragments")
    incoming = fragmentation.incoming(is_response=header.is_response)
    incoming.require_new(header.message_id, fragment)
    content = protection.open(octets, header)
    _heed(fragmentation, content, octets, path)
    if not fragmentation.is_waiting:
        sa.timers.set(Timer.REASSEMBLY, sa.now + REASSEMBLY_SECONDS)
    whole = incoming.add(content, octets)
    if not fragmentation.is_waiting:
        sa.timers.stop(Timer.REASSEMBLY)
    return None if whole is None else Arrival(decode_content(whole.content), whole.first)


def room_for(sa: IkeSa, path: Path) -> int | None:
    """Octets of a message of ours in one piece; None where it may have any."""
    return None if sa.fragmentation is None else message_room(sa.fragmentation.size, path)


def in_smaller_pieces(sa: IkeSa, sealed: Sealed, protection: Protection | None) -> Sealed | None:
    """A message that was not answered, in fragments of the next smaller size; None where that changes nothing: "the sender
    MUST ensure that the value in the Total Fragments field is really increased" (section 2.5.2).

    Args:
        sa: whose it is.
        sealed: the message.
        protection: what sealed it; None for a message in clear.
    """
    fragmentation = sa.fragmentation
    if fragmentation is None or protection is None:
        return None
    size = fragmentation.smaller(max(map(len, sealed)), sa.path)
    if size is None:
        return None
    smaller = protection.split(sealed, message_room(size, sa.path))
    if len(smaller) <= len(sealed):
        return None
    fragmentation.size = size
    return smaller


def last_answer(sa: IkeSa, answer: Sealed) -> Sealed:
    """What a repeated request gets: the answer as it was, or in smaller pieces where it does not seem to get through."""
    smaller = in_smaller_pieces(sa, answer, sa.answered_with) if sa.responses.seems_lost else None
    if smaller is None:
        return answer
    sa.responses.replace(smaller)
    return smaller


def answer_to_cut_anew(sa: IkeSa, octets: bytes, header: Header, path: Path) -> Sealed | None:
    """The last answer, where its request comes again in other pieces; None where it is another request.

    Only the first fragment has this effect (section 2.6.1), and what made the peer cut its request anew may be that our
    answer was too long.

    Raises:
        PeerError: it is to be dropped.
    """
    answer, fragmentation = sa.responses.again(header.message_id), sa.fragmentation
    protection = sa.answered_with
    if answer is None or fragmentation is None or protection is None:
        return None
    fragment = find_fragment(octets, header)
    if fragment is None or fragment.number != 1:
        return None
    _heed(fragmentation, protection.open(octets, header), octets, path)
    room = message_room(fragmentation.size, path)
    if max(map(len, answer)) > room:
        answer = protection.split(answer, room)
        sa.responses.replace(answer)
    return answer


def _heed(fragmentation: Fragmentation, content: Content, octets: bytes, path: Path) -> None:
    """The first fragment of several is as long as the peer's datagrams are; the last one may be shorter."""
    if not content.header.is_response and content.number == 1 and content.total > 1:
        fragmentation.heed(len(octets), path)
