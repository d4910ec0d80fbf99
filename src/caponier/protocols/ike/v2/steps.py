"""An exchange is a generator: what its body may ask for, typed, and what drives it.

A body is a function that returns ``Step[T]``: it yields instructions, gets their results back, and returns a
``T``. Bodies use the helpers of this module with ``yield from`` only, so each result has its type::

    reply = yield from request(IkeAuthRequest(...))     # sent again by the lane until answered, RFC 7296 section 2.1
    signature = yield from sign(key, scheme, octets)    # done by the outside, perhaps on a smart card

A request goes out with the lane that drives the body; an effect goes to the daemon. An instruction that fails
raises a ``CaponierError`` inside of the body. When the IKE SA goes away in between, the body is closed, and its
``finally`` and ``with`` blocks give back what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from caponier.doi.ikev2 import ExchangeType, ProtocolId
from caponier.errors import CaponierError, EngineError, InternalError
from caponier.mechanisms.authentication.signatures import PrivateKey, SignatureScheme
from caponier.protocols.ike.effects import AllocateSpi, Effect, ReleaseSpi, Sign
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Payload

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Request(Protocol[R_co]):
    """A request that names its possible replies."""

    @property
    def exchange(self) -> ExchangeType:
        """The exchange that it opens."""

    def payloads(self) -> Sequence[Payload]:
        """What it says, in the RFC's order."""

    def read(self, reply: Message) -> R_co:
        """Parse the reply.

        Raises:
            PeerRejected: the peer answers with an error notification.
            PeerError: the reply is not one; a reply that is not protected is dropped then.
        """


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request and wait for its reply."""

    request: Request[Any]


@dataclass(frozen=True, slots=True)
class Perform:
    """Let the outside do something and wait for its result."""

    effect: Effect


Instruction = Ask | Perform
Step = Generator[Instruction, Any, T]


def request(message: Request[T]) -> Step[T]:
    """Send ``message``, again if need be, and return the peer's reply.

    Raises:
        Silent: the peer never answered.
        PeerRejected: the peer answered with an error notification.
        PeerError: the reply is wrong.
    """
    reply: T = yield Ask(message)
    return reply


def sign(key: PrivateKey, scheme: SignatureScheme, octets: bytes) -> Step[bytes]:
    """Sign ``octets`` with a private key, wherever it lives."""
    signature: bytes = yield Perform(Sign(key, scheme, octets))
    return signature


class InboundSpi:
    """A reserved inbound SPI. Leaving its ``with`` block gives it back, unless a Child SA took it."""

    __slots__ = ("_give_back", "_is_taken", "protocol", "value")

    def __init__(self, protocol: ProtocolId, value: int, give_back: Callable[[Effect], None]) -> None:
        self.protocol = protocol
        self.value = value
        self._give_back = give_back
        self._is_taken = False

    @property
    def octets(self) -> bytes:
        """The SPI as it stands in a message."""
        return self.value.to_bytes(4)

    def take(self) -> None:
        """From here on the SPI belongs to a Child SA that is being installed."""
        self._is_taken = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_taken:
            self._is_taken = True  # by nobody: it is given back once
            self._give_back(ReleaseSpi(self.protocol, self.value))


def allocate_spi(protocol: ProtocolId, give_back: Callable[[Effect], None]) -> Step[InboundSpi]:
    """Reserve an inbound SPI for a Child SA.

    Args:
        protocol: ESP or AH.
        give_back: takes the effect that releases it.

    Raises:
        EngineError: the data plane has none, or returned an SPI of the reserved range (RFC 4303 section 2.1).
    """
    spi: int = yield Perform(AllocateSpi(protocol))
    if not 256 <= spi < 1 << 32:
        raise EngineError(f"the engine allocated SPI {spi}, which is reserved")
    return InboundSpi(protocol, spi, give_back)


@dataclass(frozen=True, slots=True)
class Returned:
    """A body came to its end."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """A body gave up."""

    error: CaponierError


Outcome = Returned | Raised


class Task:
    """A body in the middle of its work: at most one instruction of it is outstanding.

    Args:
        body: the generator.
        carry_out: sees to an instruction and later calls ``resume`` or ``fail``.
        ended: is called once with the outcome; never after ``close``.
    """

    __slots__ = ("_body", "_carry_out", "_ended", "is_over")

    def __init__(
        self, body: Step[Any], carry_out: Callable[[Task, Instruction], None], ended: Callable[[Outcome], None]
    ) -> None:
        self._body = body
        self._carry_out = carry_out
        self._ended = ended
        self.is_over = False

    def start(self) -> None:
        self._advance(lambda: next(self._body))

    def resume(self, value: object) -> None:
        """Give the body the result of its instruction."""
        self._advance(lambda: self._body.send(value))

    def fail(self, error: CaponierError) -> None:
        """Let the body's instruction raise."""
        self._advance(lambda: self._body.throw(error))

    def close(self) -> None:
        """End the body early; what it holds, it gives back."""
        self.is_over = True
        self._body.close()

    def _advance(self, step: Callable[[], Instruction]) -> None:
        if self.is_over:
            return
        try:
            instruction = step()
        except StopIteration as stop:
            self._end(Returned(stop.value))
        except CaponierError as error:
            self._end(Raised(error))
        except Exception as bug:  # noqa: BLE001 - a bug of ours closes this SA, never the daemon
            failure = InternalError(f"a bug in an exchange: {type(bug).__name__}: {bug}")
            failure.__cause__ = bug
            self._end(Raised(failure))
        else:
            self._carry_out(self, instruction)

    def _end(self, outcome: Outcome) -> None:
        self.is_over = True
        self._ended(outcome)
