"""Messages: a header and a chain of payloads, in clear or sealed (RFC 7296 sections 2.5, 3.1, 3.2 and 3.14, RFC 7383 section 2.5).

Theory of operation. A message is decoded in two steps, and which one is the second depends on the exchange:

* ``decode_header``: whose message is it? Enough to find the IKE SA.
* ``decode_message``: a message in clear (IKE_SA_INIT). An Encrypted payload stays sealed in it.
* ``open_message``: a protected message. Of its payloads nothing is interpreted before the checksum has
  verified; then only those from inside the Encrypted payload are in the result.
* ``open_content`` and ``decode_content``: the same in two steps, for between them the fragments of a message are
  put together (RFC 7383).

Errors tell by their disposition whether the octets were authentic. What fails before a checksum has
verified may come from anybody, and is dropped (section 3.10.1: INVALID_SYNTAX is answered "only ... if the
Message ID and cryptographic checksum were valid"). The one exception is a critical payload that we do not
know, which section 2.5 has answered in clear messages too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar, get_args

from caponier.doi.ikev2 import ExchangeType, NotifyType, PayloadType
from caponier.errors import (
    Disposition,
    InternalError,
    InvalidMajorVersion,
    MisuseError,
    UnsupportedCriticalPayload,
    WireError,
)
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.header import HEADER_LENGTH, MAJOR_VERSION, Header
from caponier.protocols.ike.messages.limits import MAX_MESSAGE, MAX_PAYLOADS
from caponier.protocols.ike.messages.payloads import (
    Encrypted,
    EncryptedFragment,
    Nonce,
    Notify,
    Payload,
    PlainPayload,
    Unknown,
)

_GENERIC_HEADER_LENGTH = 4  #: octets, section 3.2
_CRITICAL = 0x80_0000  #: in the generic header as one 32-bit word
_DECODERS: dict[int, type[PlainPayload]] = {kind.TYPE: kind for kind in get_args(PlainPayload)}
_SEALED: dict[int, type[Encrypted | EncryptedFragment]] = {kind.TYPE: kind for kind in (Encrypted, EncryptedFragment)}

P = TypeVar("P", bound=Payload)


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message.

    Attributes:
        header: as received.
        payloads: in their order. Of a protected message those from inside the Encrypted payload.
        is_protected: whether the checksum of an Encrypted payload has verified over all of it.
        covered: of an IKE_INTERMEDIATE message, what AUTH covers of it (see :func:`covered_octets`).
    """

    header: Header
    payloads: tuple[Payload, ...]
    is_protected: bool = False
    covered: bytes = field(default=b"", compare=False, repr=False)

    @property
    def spi_i(self) -> bytes:
        return self.header.spi_i

    @property
    def spi_r(self) -> bytes:
        return self.header.spi_r

    @property
    def exchange(self) -> ExchangeType:
        return self.header.exchange

    @property
    def is_initiator(self) -> bool:
        return self.header.is_initiator

    @property
    def is_response(self) -> bool:
        return self.header.is_response

    @property
    def message_id(self) -> int:
        return self.header.message_id

    @property
    def disposition(self) -> Disposition:
        """What an error in this message may lead to: nothing, unless it is authentic."""
        return Disposition.CLOSE_SA if self.is_protected else Disposition.DROP

    @property
    def error_notifies(self) -> tuple[Notify, ...]:
        """The notifications of an error, unknown ones too (section 3.10.1: types below 16384)."""
        return tuple(notify for notify in self.all(Notify) if notify.type.is_error)

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """Every payload of this kind, in their order."""
        return tuple([payload for payload in self.payloads if isinstance(payload, kind)])

    def optional(self, kind: type[P]) -> P | None:
        """The payload of this kind, or None without one.

        Raises:
            WireError: there are several.
        """
        found = self.all(kind)
        if len(found) > 1:
            raise WireError(f"{self.exchange}: {len(found)} {kind.__name__} payloads", disposition=self.disposition)
        return found[0] if found else None

    def one(self, kind: type[P]) -> P:
        """The payload of this kind.

        Raises:
            WireError: there is none, or there are several.
        """
        found = self.optional(kind)
        if found is None:
            raise WireError(f"{self.exchange}: no {kind.__name__} payload", disposition=self.disposition)
        return found

    def notify(self, notify_type: NotifyType) -> Notify | None:
        """The first notification of this type, or None without one."""
        return next((notify for notify in self.all(Notify) if notify.type == notify_type), None)


def decode_header(octets: bytes) -> Header:
    """Read the header of a datagram that holds one IKEv2 message.

    Raises:
        WireError: too short, too long, or another length than the header says. Disposition: DROP.
        InvalidMajorVersion: not version 2; of a lower version with the disposition DROP, since only a
            higher one is answered (RFC 7296 section 2.5).
    """
    if not HEADER_LENGTH <= len(octets) <= MAX_MESSAGE:
        raise WireError(
            f"a message of {len(octets)} octets, not {HEADER_LENGTH} to {MAX_MESSAGE}",
            field="length",
            disposition=Disposition.DROP,
        )
    header = Header.decode(Reader(octets, "IKE header"))
    if header.major != MAJOR_VERSION:
        raise InvalidMajorVersion(
            f"a message of IKE version {header.major}.{header.minor}",
            field="version",
            section="RFC 7296 section 2.5",
            disposition=Disposition.REPLY if header.major > MAJOR_VERSION else Disposition.DROP,
        )
    if header.length != len(octets):
        # One datagram is one message (section 3.1); octets behind it would be outside of what AUTH covers.
        raise WireError(
            f"a message of {len(octets)} octets says that it has {header.length}",
            field="length",
            section="RFC 7296 section 3.1",
            disposition=Disposition.DROP,
        )
    return header


def decode_message(octets: bytes, header: Header | None = None) -> Message:
    """Decode a message in clear; an Encrypted payload stays sealed, as the last one.

    Args:
        octets: all of it.
        header: what :func:`decode_header` said of it, where it was asked before.

    Raises:
        WireError, InvalidMajorVersion: malformed; see :func:`decode_header`. Disposition: DROP.
        UnsupportedCriticalPayload: a payload that we do not know and that we must know (section 2.5).
    """
    header = header or decode_header(octets)
    try:
        return Message(header, _decode_chain(Reader(octets[HEADER_LENGTH:]), header.next_payload))
    except WireError as error:
        error.disposition = Disposition.DROP
        raise


def decode_beginning(octets: bytes, header: Header) -> tuple[bytes | None, bytes]:
    """The cookie, None without one, and the nonce of an IKE_SA_INIT request, with no look into any other payload: all that
    it takes to tell who may be answered (RFC 7296 section 2.6).

    Raises:
        WireError: the chain is broken, or there is no nonce. Disposition: DROP.
    """
    cookie: bytes | None = None
    try:
        for frame in _frames(Reader(octets[HEADER_LENGTH:]), header.next_payload):
            if frame.type == PayloadType.N and cookie is None:
                notify = Notify.decode(frame.body)
                cookie = notify.data if notify.type == NotifyType.COOKIE else None
            elif frame.type == PayloadType.NONCE:
                return cookie, Nonce.decode(frame.body).data
    except WireError as error:
        error.disposition = Disposition.DROP
        raise
    raise WireError(f"{header.exchange}: no Nonce payload", field="next payload", disposition=Disposition.DROP)


@dataclass(frozen=True, slots=True)
class Content:
    """What stood inside of an Encrypted payload, or of an Encrypted Fragment payload: authentic, not decoded yet.

    Attributes:
        header: of the message.
        first: type of the first payload inside; NO_NEXT where there is none, and in all fragments but the first.
        octets: the chain of payloads, or a part of it, without padding.
        number: 1 for the first fragment, and for a whole message.
        total: fragments of the message (RFC 7383 section 2.5); 0 for a whole message.
        associated: of a message that came in one piece, from its first octet through the Encrypted payload's generic header.
    """

    header: Header
    first: PayloadType
    octets: bytes
    number: int = 1
    total: int = 0
    associated: bytes = b""


def open_message(octets: bytes, cipher: MessageCipher, header: Header | None = None) -> Message:
    """Verify and decrypt a protected message, then decode what was inside.

    Payloads before the Encrypted payload are covered by the checksum, but readable by everybody; no exchange
    that we speak has any, so that they are left out of the result (RFC 7296 sections 2.5 and 3.14).

    Args:
        octets: all of it.
        cipher: of the peer's direction.
        header: what :func:`decode_header` said of it, where it was asked before.

    Raises:
        WireError: malformed, or a fragment. Disposition: DROP where this shows before the checksum has verified.
        InvalidMajorVersion: not version 2.
        IntegrityFailed: the checksum did not verify.
        UnsupportedCriticalPayload: an authentic payload that we do not know and that we must know.
    """
    return decode_content(_open(octets, cipher, header, PayloadType.SK))


def open_content(octets: bytes, cipher: MessageCipher, header: Header | None = None) -> Content:
    """Verify and decrypt a protected message or a fragment of one.

    Args:
        octets: all of it.
        cipher: of the sender's direction.
        header: what :func:`decode_header` said of it, where it was asked before.

    Raises:
        As :func:`open_message`, but for what is wrong with the payloads inside.
    """
    return _open(octets, cipher, header, *_SEALED)


def find_fragment(octets: bytes, header: Header) -> EncryptedFragment | None:
    """The Encrypted Fragment payload of a message, still sealed; None where the message is no fragment.

    Nothing of it is authentic. In front of it may stand payloads in clear (RFC 7383 section 2.5.3).

    Raises:
        WireError: malformed. Disposition: DROP.
    """
    if header.next_payload == PayloadType.SK:
        return None
    try:
        frames = list(_frames(Reader(octets[HEADER_LENGTH:]), header.next_payload))
        if not frames or frames[-1].type != PayloadType.SKF:
            return None
        return EncryptedFragment.decode(frames[-1].body, frames[-1].next_payload)
    except WireError as error:
        error.disposition = Disposition.DROP
        raise


def covered_octets(associated: bytes, content: bytes) -> bytes:
    """``IntAuth_*A | IntAuth_*P`` of one IKE_INTERMEDIATE message (RFC 9242 section 3.3.2).

    Both lengths are "adjusted so that they don't count the lengths of Initialization Vector, Integrity Checksum Data,
    Padding, and Pad Length". A message that came in fragments is put together first.

    Args:
        associated: from the first octet of the header through the Encrypted payload's generic header.
        content: the payloads inside, as plaintext, without padding.
    """
    w = Writer().octets(associated).octets(content)
    w.patch_u32(HEADER_LENGTH - 4, len(w))
    w.patch_u16(len(associated) - 2, _GENERIC_HEADER_LENGTH + len(content))
    return w.finish()


def covered_by(header: Header, payloads: Sequence[Payload]) -> bytes:
    """The same for a message that we are about to seal."""
    content = _encode_chain(payloads)
    return covered_octets(encode_message(header, [Encrypted(first_type(payloads), b"")]), content)


def decode_content(content: Content) -> Message:
    """Decode the payloads of a whole message, or of one whose fragments were put together.

    Raises:
        WireError, UnsupportedCriticalPayload: an authentic message that is wrong.
    """
    payloads = _decode_chain(Reader(content.octets, "Encrypted payload"), content.first)
    if any(payload.TYPE in _SEALED for payload in payloads):
        raise WireError("an Encrypted payload inside of an Encrypted payload", section="RFC 7296 section 3.1")
    covered = b""
    if content.header.exchange == ExchangeType.IKE_INTERMEDIATE:
        associated = content.associated or encode_message(content.header, [Encrypted(content.first, b"")])
        covered = covered_octets(associated, content.octets)
    return Message(content.header, payloads, is_protected=True, covered=covered)


def _open(octets: bytes, cipher: MessageCipher, header: Header | None, *kinds: int) -> Content:
    header = header or decode_header(octets)
    try:
        *outer, last = _frame_protected(octets, header, kinds)
        sealed = _SEALED[last.type].decode(last.body, last.next_payload)
        _require_shape(sealed.protected, cipher)
    except WireError as error:
        error.disposition = Disposition.DROP
        raise
    # RFC 5282 section 5.1: from the first octet of the header to the IV. For a fragment that takes in its numbers.
    associated = octets[: len(octets) - len(sealed.protected)]
    plaintext = cipher.open(associated, sealed.protected)
    for frame in outer:
        _require_known_if_critical(frame)
    content = _remove_padding(plaintext)
    if isinstance(sealed, EncryptedFragment):
        return Content(header, sealed.first, content, sealed.number, sealed.total)
    return Content(header, sealed.first, content, associated=associated)


def encode_message(header: Header, payloads: Sequence[Payload]) -> bytes:
    """Encode a message in clear; the header's next payload and length are computed.

    Raises:
        MisuseError: something does not fit into its field, or the message into a datagram.
    """
    chain = _encode_chain(payloads)
    length = HEADER_LENGTH + len(chain)
    if length > MAX_MESSAGE:
        raise MisuseError(f"{header.exchange}: a message of {length} octets, more than {MAX_MESSAGE}")
    w = Writer()
    replace(header, next_payload=first_type(payloads), length=length).encode(w)
    return w.octets(chain).finish()


def seal_message(
    header: Header,
    payloads: Sequence[Payload],
    cipher: MessageCipher,
    iv: bytes,
    unprotected: Sequence[Payload] = (),
) -> bytes:
    """Encode a message with ``payloads`` inside of its Encrypted payload (RFC 7296 section 3.14).

    Args:
        header: its next payload and length are computed.
        payloads: what is to be protected; may be empty.
        cipher: of our direction.
        iv: fresh, ``cipher.iv_length`` octets; unpredictable for CBC, never repeated for AEAD.
        unprotected: what stands in clear before the Encrypted payload.

    Raises:
        MisuseError: something does not fit, or the IV has another length.
    """
    return seal_content(Content(header, first_type(payloads), encode_payloads(payloads)), cipher, iv, unprotected)


def seal_content(content: Content, cipher: MessageCipher, iv: bytes, unprotected: Sequence[Payload] = ()) -> bytes:
    """Encode a message whose payloads are encoded already, or one fragment of it (RFC 7383 section 2.5).

    Args:
        content: of its header, next payload and length are computed.
        cipher: of our direction.
        iv: as for :func:`seal_message`.
        unprotected: what stands in clear before the Encrypted payload.

    Raises:
        MisuseError: something does not fit, or the IV has another length.
    """
    if len(iv) != cipher.iv_length:
        raise MisuseError(f"an IV of {len(iv)} octets for a cipher that takes {cipher.iv_length}")
    plaintext = _pad(content.octets, cipher.block_size)
    # The generic header's length and the header's are covered by the checksum: they must stand before it is made.
    protected_length = cipher.iv_length + len(plaintext) + cipher.icv_length
    room = bytes(protected_length)
    payload = (
        EncryptedFragment(content.first, content.number, content.total, room)
        if content.total
        else Encrypted(content.first, room)
    )
    associated = encode_message(content.header, [*unprotected, payload])[:-protected_length]
    protected = cipher.seal(iv, associated, plaintext)
    if len(protected) != protected_length:
        raise InternalError(f"the cipher made {len(protected)} octets where {protected_length} were announced")
    return associated + protected


def first_type(payloads: Sequence[Payload]) -> PayloadType:
    """What the Next Payload field in front of a chain says."""
    return payloads[0].TYPE if payloads else PayloadType.NO_NEXT


def encode_payloads(payloads: Sequence[Payload]) -> bytes:
    """The chain of payloads that an Encrypted payload is to hold, without padding.

    Raises:
        MisuseError: something does not fit into its field.
    """
    if any(payload.TYPE in _SEALED for payload in payloads):
        raise MisuseError("an Encrypted payload inside of an Encrypted payload")
    return _encode_chain(payloads)


class _Frame(NamedTuple):
    """A payload whose body is not looked into yet."""

    type: PayloadType
    critical: bool
    next_payload: PayloadType
    body: Reader


def _frames(r: Reader, first: PayloadType) -> Iterator[_Frame]:
    """Walk a chain of payloads to its end (RFC 7296 section 3.2).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Next Payload  |C|  RESERVED   |         Payload Length        |
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """
    count = 0
    while first != PayloadType.NO_NEXT:
        count += 1
        if count > MAX_PAYLOADS:
            raise WireError(f"{r.what}: more than {MAX_PAYLOADS} payloads", field="next payload")
        word = r.u32("generic payload header")
        next_payload = PayloadType(word >> 24)
        critical = bool(word & _CRITICAL)  # the other seven bits are ignored on receipt, section 3.2
        body = r.sub((word & 0xFFFF) - _GENERIC_HEADER_LENGTH, f"{first} payload")
        yield _Frame(first, critical, next_payload, body)
        # SK "MUST be the last payload", and its Next Payload is of what it holds (section 3.14).
        first = PayloadType.NO_NEXT if first in _SEALED else next_payload
    r.end()


def _decode_chain(r: Reader, first: PayloadType) -> tuple[Payload, ...]:
    return tuple([_decode_payload(frame) for frame in _frames(r, first)])


def _decode_payload(frame: _Frame) -> Payload:
    # The critical bit of a payload that we know is ignored (section 2.5).
    decoder = _DECODERS.get(frame.type)
    if decoder is not None:
        payload = decoder.decode(frame.body)
        frame.body.end()
        return payload
    sealed = _SEALED.get(frame.type)
    if sealed is not None:
        return sealed.decode(frame.body, frame.next_payload)
    _require_known_if_critical(frame)
    return Unknown(frame.type, critical=False, body=frame.body.rest())


def _require_known_if_critical(frame: _Frame) -> None:
    if frame.critical and frame.type not in _DECODERS and frame.type not in _SEALED:
        raise UnsupportedCriticalPayload(f"a critical payload of type {frame.type}", payload_type=int(frame.type))


def _frame_protected(octets: bytes, header: Header, kinds: Sequence[int]) -> list[_Frame]:
    frames = list(_frames(Reader(octets[HEADER_LENGTH:]), header.next_payload))
    if not frames or frames[-1].type not in kinds:
        raise WireError(
            f"{header.exchange}: the message is not protected", field="next payload", section="RFC 7296 section 1.2"
        )
    return frames


def _require_shape(protected: bytes, cipher: MessageCipher) -> None:
    """IV, at least one block and the ICV must be there, in whole blocks (section 3.14)."""
    ciphertext_length = len(protected) - cipher.iv_length - cipher.icv_length
    if ciphertext_length < 1 or ciphertext_length % cipher.block_size:
        raise WireError(
            f"Encrypted payload: {len(protected)} octets do not make whole blocks",
            field="payload length",
            section="RFC 7296 section 3.14",
        )


def _remove_padding(plaintext: bytes) -> bytes:
    """Cut padding and Pad Length; the padding may have any value, and any length that fits (section 3.14)."""
    content_length = len(plaintext) - 1 - plaintext[-1]
    if content_length < 0:
        raise WireError(
            f"Encrypted payload: {plaintext[-1]} octets of padding in {len(plaintext)}",
            field="pad length",
            section="RFC 7296 section 3.14",
        )
    return plaintext[:content_length]


def _pad(content: bytes, block_size: int) -> bytes:
    """Zero padding of the least length, and Pad Length (section 3.14)."""
    padding = -(len(content) + 1) % block_size
    return content + bytes(padding) + bytes((padding,))


def _encode_chain(payloads: Sequence[Payload]) -> bytes:
    w = Writer()
    following = [*(payload.TYPE for payload in payloads), PayloadType.NO_NEXT][1:]
    for payload, next_type in zip(payloads, following, strict=True):
        start = len(w)
        critical = _CRITICAL if isinstance(payload, Unknown) and payload.critical else 0
        w.u32(_next_payload(payload, next_type) << 24 | critical)
        try:
            payload.encode(w)
            w.patch_u16(start + 2, len(w) - start)
        except OverflowError as error:
            raise MisuseError(f"{payload.TYPE} payload: a value does not fit into its field") from error
    return w.finish()


def _next_payload(payload: Payload, following: PayloadType) -> PayloadType:
    """The Next Payload field, with the exception of section 3.14."""
    if not isinstance(payload, Encrypted | EncryptedFragment):
        return following
    if following != PayloadType.NO_NEXT:
        raise MisuseError("an Encrypted payload is the last of its message")
    return payload.first
