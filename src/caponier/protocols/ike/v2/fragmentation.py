"""Long messages in several datagrams (RFC 7383).

Theory of operation. Networks lose IP fragments, so a message that is longer than a datagram may be is cut before it is
sealed, and each part is sealed by itself: nothing that is not the peer's gets into the memory of the other side.

* How long a datagram may be is known to nobody. ``Fragmentation.size`` begins at 1280 octets, or what the
  configuration says: every IPv6 link carries that (RFC 8200 section 5), and so does nearly every IPv4 path of today;
  RFC 7383 section 2.5.1 recommends 576 for IPv4, which makes two to three times as many datagrams, each of which can
  get lost. When nothing comes back the message is cut again for 576 octets, and the IKE SA stays there: "the PMTU
  search is performed downward" (section 2.5.2).
* Who answers learns from who asks: the parts of a request that came in smaller pieces, or that came again and again,
  are answered in smaller pieces.
* ``Reassembly`` keeps the parts of the messages of one direction until they are complete (section 2.6). A peer that
  has our keys and bad intentions can fill it, up to the limits here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from caponier.doi.ikev2 import NotifyType, PayloadType
from caponier.errors import Disposition, UnexpectedMessage, WireError
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.protocols.ike.messages.header import HEADER_LENGTH
from caponier.protocols.ike.messages.limits import MAX_FRAGMENTS, MAX_MESSAGE
from caponier.protocols.ike.messages.message import Content, Message, open_content, seal_content
from caponier.protocols.ike.messages.payloads import EncryptedFragment, Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection

LEAST_SIZE = 576  #: octets of an IPv4 datagram that every host takes (RFC 791 section 3.1, RFC 7383 section 2.5.1)
TRANSMISSIONS_OF_A_SIZE = (
    2  #: until smaller fragments are tried: "a few retries within several seconds" (section 2.5.2)
)

_UDP_HEADER, _MARKER = 8, 4
_IP_HEADER = {4: 20, 6: 40}
_ROUNDING = 32  #: octets by which a peer's datagrams may be shorter than its size says
_SKF_HEADER = 8  #: octets: the generic header, Fragment Number, Total Fragments
_SUPPORTED = Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)

#: A protected message as it leaves: one datagram, or one for each of its fragments, in their order.
Sealed = tuple[bytes, ...]


def announcement(connections: Sequence[Connection]) -> tuple[Notify, ...]:
    """What we say of it in IKE_SA_INIT (section 2.3)."""
    return (_SUPPORTED,) if any(each.fragment_size is not None for each in connections) else ()


def agreed(message: Message, connections: Sequence[Connection]) -> Fragmentation | None:
    """What we do after the peer's IKE_SA_INIT message: "MUST NOT be used unless both peers have indicated their support"
    (section 2.4)."""
    sizes = [each.fragment_size for each in connections if each.fragment_size is not None]
    if not sizes or message.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is None:
        return None
    return Fragmentation(min(sizes))


def message_room(size: int, path: Path) -> int:
    """Octets of the longest IKE message in an IP datagram of so many, whose IP header has no options (appendix B)."""
    return size - _IP_HEADER[path.local.version] - _UDP_HEADER - _MARKER * path.encapsulated


def split(content: Content, cipher: MessageCipher, iv: Callable[[], bytes], room: int) -> Sealed:
    """Seal the content of a long message in fragments (section 2.5).

    Args:
        content: of the whole message.
        cipher: of our direction.
        iv: makes a fresh one.
        room: octets of each message at most; where that is hopelessly few, each holds one block.
    """
    block = cipher.block_size
    overhead = HEADER_LENGTH + _SKF_HEADER + cipher.iv_length + cipher.icv_length
    chunk = max(block, (room - overhead) // block * block) - 1  # Pad Length takes one
    chunk = max(chunk, 1)
    parts = [content.octets[at : at + chunk] for at in range(0, len(content.octets), chunk)] or [b""]
    return tuple(
        seal_content(
            Content(content.header, content.first if number == 1 else PayloadType.NO_NEXT, part, number, len(parts)),
            cipher,
            iv(),
        )
        for number, part in enumerate(parts, start=1)
    )


def joined(sealed: Sealed, cipher: MessageCipher) -> Content:
    """The content of a message of our own, opened with the key that sealed it."""
    parts = [open_content(each, cipher) for each in sealed]
    return replace(parts[0], octets=b"".join(part.octets for part in parts), number=1, total=0)


@dataclass(slots=True)
class _Parts:
    """The parts of one message that have come.

    Attributes:
        total: how many there will be; 0 before the first.
        by_number: their contents.
        length: octets of all of them.
        first: the first fragment as it came, which stands for the message when it comes again.
    """

    total: int = 0
    by_number: dict[int, Content] = field(default_factory=dict)
    length: int = 0
    first: bytes = b""


@dataclass(frozen=True, slots=True)
class Whole:
    """A message whose parts are all there.

    Attributes:
        content: of all of them.
        first: the first fragment as it came.
    """

    content: Content
    first: bytes


class Reassembly:
    """The incomplete messages of one direction, by message id."""

    __slots__ = ("_length", "_parts")

    def __init__(self) -> None:
        self._parts: dict[int, _Parts] = {}
        self._length = 0

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def length(self) -> int:
        """Octets that are kept."""
        return self._length

    def require_new(self, message_id: int, fragment: EncryptedFragment) -> None:
        """The tests of section 2.6 that need no key, in its order.

        Raises:
            UnexpectedMessage: of an older set, here already, or one of too many; to be dropped.
        """
        if fragment.total > MAX_FRAGMENTS:
            raise UnexpectedMessage(f"a message in {fragment.total} fragments, we take {MAX_FRAGMENTS}")
        parts = self._parts.get(message_id)
        if parts is None:
            return
        if fragment.total < parts.total:
            raise UnexpectedMessage(f"one of {fragment.total} fragments, where one of {parts.total} came already")
        if fragment.total == parts.total and fragment.number in parts.by_number:
            raise UnexpectedMessage(f"fragment {fragment.number} of {fragment.total} once more")

    def add(self, content: Content, octets: bytes) -> Whole | None:
        """Keep an authentic part; returns the message when it was the last one.

        Raises:
            WireError: the message gets too long: "the receiver SHOULD drop the connection and discard all the received
                fragments" (section 5).
        """
        message_id = content.header.message_id
        parts = self._parts.setdefault(message_id, _Parts())
        if content.total > parts.total:  # "MUST discard all received fragments and start the reassembly process over"
            self.forget(message_id)
            parts = self._parts[message_id] = _Parts(content.total)
        parts.by_number[content.number] = content
        parts.length += len(content.octets)
        self._length += len(content.octets)
        if content.number == 1:
            parts.first = octets
        if self._length > MAX_MESSAGE:
            self.clear()
            raise WireError(
                f"fragments of more than {MAX_MESSAGE} octets in all",
                section="RFC 7383 section 5",
                disposition=Disposition.CLOSE_SA,
            )
        if len(parts.by_number) < parts.total:
            return None
        self.forget(message_id)
        return _whole(parts)

    def forget(self, message_id: int) -> None:
        """Discard what came of one message."""
        parts = self._parts.pop(message_id, None)
        if parts is not None:
            self._length -= parts.length

    def clear(self) -> None:
        """Discard everything."""
        self._parts.clear()
        self._length = 0


def _whole(parts: _Parts) -> Whole:
    ordered = [parts.by_number[number] for number in range(1, parts.total + 1)]
    octets = b"".join(part.octets for part in ordered)
    return Whole(replace(ordered[0], octets=octets, total=0), parts.first)


class Fragmentation:
    """Both directions of an IKE SA whose sides agreed on fragmentation.

    Args:
        size: octets of an IP datagram of ours at first.
    """

    __slots__ = ("_replies", "_requests", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._requests: Reassembly | None = None  # most IKE SAs never need them
        self._replies: Reassembly | None = None

    def incoming(self, *, is_response: bool) -> Reassembly:
        """What has come of the peer's messages."""
        if is_response:
            self._replies = self._replies or Reassembly()
            return self._replies
        self._requests = self._requests or Reassembly()
        return self._requests

    @property
    def is_waiting(self) -> bool:
        """Whether parts of a message are there, and others are not."""
        return any(each is not None and len(each) for each in (self._requests, self._replies))

    def clear(self) -> None:
        """Discard what is incomplete: "If the receiver does not get all IKE fragments ... within a timeout interval"
        (section 2.6)."""
        self._requests = self._replies = None

    def heed(self, length: int, path: Path) -> None:
        """A fragment of a request came with so many octets: answer in no longer ones (section 2.5.1), though not in shorter
        ones than we would ever try. A few octets less are the rounding of a cipher's blocks: to heed them would let both
        sides shrink a little with each exchange."""
        theirs = length - message_room(0, path)
        if theirs + _ROUNDING < self.size:
            self.size = max(theirs, LEAST_SIZE)

    def smaller(self, longest: int, path: Path) -> int | None:
        """The next size to try for a message whose longest datagram came to nothing; None where that is the smallest."""
        if self.size <= LEAST_SIZE or longest <= message_room(LEAST_SIZE, path):
            return None
        return LEAST_SIZE
