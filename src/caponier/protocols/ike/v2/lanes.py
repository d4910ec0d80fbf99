"""The two directions of an IKE SA (RFC 7296 sections 2.1 to 2.3).

Theory of operation. IKEv2 has two independent directions, so they are two objects:

* A ``RequestLane`` holds our requests: those that wait, and the one that is out (the window is 1, section 2.3).
  It numbers them, sends them again with growing pauses, and drives the exchange body that waits for the reply.
* A ``ResponseLane`` holds theirs: which message id comes next, and the last answer, which is sent again, octet
  for octet, when the peer sends its request again.

Exchange bodies know nothing of message ids, of retransmission, or of windows.

A reply that is not protected (IKE_SA_INIT) comes from anybody. It moves the exchange only when all of it is
acceptable; otherwise we keep waiting. When it refuses (NO_PROPOSAL_CHOSEN and such), the refusal is remembered as
a hint, the request goes out once more, and only when that brings no better answer is the refusal believed: one
forged datagram does not stop us, and a peer that truly refuses is reported within seconds (section 2.21.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from caponier.doi.ikev2 import ExchangeType
from caponier.errors import CaponierError, PeerError, PeerRejected, Silent, UnexpectedMessage
from caponier.protocols.ike.effects import Effect
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Payload
from caponier.protocols.ike.policy import Retransmission
from caponier.protocols.ike.v2.fragmentation import TRANSMISSIONS_OF_A_SIZE, Sealed
from caponier.protocols.ike.v2.lifecycle import Verdict
from caponier.protocols.ike.v2.steps import Ask, Instruction, Outcome, Perform, Raised, Request, Step, Task
from caponier.protocols.ike.v2.timers import Timer, TimerTable


class Carrier(Protocol):
    """What a lane needs of its IKE SA."""

    now: float
    timers: TimerTable

    @property
    def retransmission(self) -> Retransmission: ...

    def seal(
        self, exchange: ExchangeType, *, is_response: bool, message_id: int, payloads: Sequence[Payload]
    ) -> Sealed: ...

    def transmit(self, sealed: Sealed) -> None: ...

    def in_smaller_pieces(self, sealed: Sealed) -> Sealed | None:
        """A message once more, in fragments that may come through where it did not; None where there are none."""

    def perform(self, effect: Effect, task: Task) -> None: ...

    def admits(self, exchange: ExchangeType) -> Verdict: ...

    @property
    def is_stranded(self) -> bool:
        """Whether there is no way to the peer now, so that its silence says nothing."""

    def jitter(self) -> float:
        """0 to 1."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """An exchange that we want.

    Attributes:
        type: of its first request.
        body: makes the generator when it is its turn.
        failed: told when the body gave up.
        done: told when the body came to its end.
        child: the Child SA's policy that it is about, if it is about one.
        replaced: the record of the Child SA that it replaces, if it replaces one.
    """

    type: ExchangeType
    body: Callable[[], Step[None]]
    failed: Callable[[CaponierError], None]
    done: Callable[[], None] = _nothing
    child: str | None = None
    replaced: object | None = None


@dataclass(slots=True)
class Outstanding:
    """A request that is out."""

    request: Request[Any]
    message_id: int
    sealed: Sealed
    attempts: int
    pause: float  #: seconds until the next transmission
    last_attempt: int  #: how many transmissions there will be
    probed: int = 0  #: transmissions in pieces of this size
    refusal: PeerRejected | None = None  #: what an unprotected reply said


class RequestLane:
    """Our requests on one IKE SA.

    Args:
        carrier: the IKE SA.
        next_id: message id of the first request after IKE_SA_INIT: 1 for the original initiator, else 0.
    """

    __slots__ = ("_carrier", "_exchange", "_next_id", "_outstanding", "_queue", "_task")

    def __init__(self, carrier: Carrier, next_id: int) -> None:
        self._carrier = carrier
        self._next_id = next_id
        self._queue: list[Exchange] = []  # mostly empty, and so short: an empty deque has 760 octets, for each SA
        self._exchange: Exchange | None = None
        self._task: Task | None = None
        self._outstanding: Outstanding | None = None

    @property
    def is_idle(self) -> bool:
        return self._exchange is None and not self._queue

    @property
    def is_running(self) -> bool:
        """Whether an exchange has begun."""
        return self._exchange is not None

    @property
    def waiting(self) -> tuple[Exchange, ...]:
        """Exchanges that run or wait, the running one first."""
        running = () if self._exchange is None else (self._exchange,)
        return (*running, *self._queue)

    @property
    def transmissions(self) -> int:
        """How often the request that is out has been sent; 0 where none is."""
        return 0 if self._outstanding is None else self._outstanding.attempts

    @property
    def outstanding_exchange(self) -> ExchangeType | None:
        """The exchange of the request that is out."""
        return None if self._outstanding is None else self._outstanding.request.exchange

    # -- in

    def enqueue(self, exchange: Exchange, *, is_urgent: bool = False) -> None:
        """Run an exchange as soon as its turn comes; an urgent one before all others that wait."""
        if is_urgent:
            self._queue.insert(0, exchange)
        else:
            self._queue.append(exchange)
        self.run()

    def resend(self) -> None:
        """There is another path: send what is out along it at once, as often as if it were new."""
        outstanding, pattern = self._outstanding, self._carrier.retransmission
        if outstanding is not None:
            outstanding.attempts, outstanding.probed, outstanding.pause = 0, 0, pattern.first
            if outstanding.refusal is None:
                outstanding.last_attempt = max(1, pattern.attempts)  # cutting it smaller had added some
            self._transmit(outstanding)

    def drop_waiting(self) -> tuple[Exchange, ...]:
        """Forget what has not begun; returns it."""
        waiting = tuple(self._queue)
        self._queue.clear()
        return waiting

    def run(self) -> None:
        """Start what may start now; asked again whenever the SA's phase changes."""
        while self._exchange is None and self._queue:
            verdict = self._carrier.admits(self._queue[0].type)
            if verdict is Verdict.QUEUE:
                return
            exchange = self._queue.pop(0)
            if verdict is Verdict.RUN:
                self._start(exchange)

    def expects(self, header: Header) -> None:
        """Require that a reply is to the request that is out.

        Raises:
            UnexpectedMessage: it answers nothing of ours; to be dropped.
        """
        outstanding = self._outstanding
        if (
            outstanding is None
            or header.message_id != outstanding.message_id
            or header.exchange != outstanding.request.exchange
        ):
            raise UnexpectedMessage(f"a reply to {header.exchange} {header.message_id}, which is not outstanding")

    def receive_error(self, error: PeerError) -> None:
        """The reply is authentic and broken: the exchange fails."""
        task = self._task
        if task is not None:
            self._settle()
            task.fail(error)

    def receive(self, reply: Message) -> None:
        """Take a reply that is authentic, or unprotected where the exchange has no protection.

        Raises:
            UnexpectedMessage: it answers nothing of ours.
            PeerError: an unprotected reply is not acceptable; we keep waiting.
        """
        self.expects(reply.header)
        outstanding, task = self._outstanding, self._task
        if outstanding is None or task is None:
            return
        try:
            value = outstanding.request.read(reply)
        except (PeerError, PeerRejected) as error:
            if not reply.is_protected:
                self._doubt(outstanding, error)
                return
            self._settle()
            task.fail(error)
        else:
            self._settle()
            task.resume(value)

    def handle_retransmit(self) -> None:
        """Send the outstanding request again, or give up (RFC 7296 section 2.4)."""
        outstanding, task = self._outstanding, self._task
        if outstanding is None or task is None:
            return
        if self._carrier.is_stranded:
            self._carrier.timers.set(Timer.RETRANSMIT, self._carrier.now + outstanding.pause)
            return
        self._probe(outstanding)
        if outstanding.attempts < outstanding.last_attempt:
            self._transmit(outstanding)
            return
        self._settle()
        task.fail(outstanding.refusal or self._silence(outstanding))

    def close(self) -> None:
        """End everything; what the running body holds, it gives back."""
        self._queue.clear()
        self._settle()
        task, self._task, self._exchange = self._task, None, None
        if task is not None:
            task.close()

    # -- the running exchange

    def _start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._task = Task(exchange.body(), self._carry_out, self._ended)
        self._task.start()

    def _carry_out(self, task: Task, instruction: Instruction) -> None:
        match instruction:
            case Ask(request):
                self._send(request)
            case Perform(effect):
                self._carrier.perform(effect, task)

    def _ended(self, outcome: Outcome) -> None:
        exchange, self._exchange, self._task = self._exchange, None, None
        if exchange is not None:
            if isinstance(outcome, Raised):
                exchange.failed(outcome.error)
            else:
                exchange.done()
        self.run()

    # -- the outstanding request

    def _send(self, request: Request[Any]) -> None:
        message_id = self._number(request.exchange)
        sealed = self._carrier.seal(
            request.exchange, is_response=False, message_id=message_id, payloads=request.payloads()
        )
        pattern = self._carrier.retransmission
        self._outstanding = Outstanding(request, message_id, sealed, 0, pattern.first, max(1, pattern.attempts))
        self._transmit(self._outstanding)

    def _number(self, exchange: ExchangeType) -> int:
        """IKE_SA_INIT has message id 0, its retries with a cookie or another group too (section 2.2)."""
        if exchange == ExchangeType.IKE_SA_INIT:
            return 0
        self._next_id += 1
        return self._next_id - 1

    def _probe(self, outstanding: Outstanding) -> None:
        """Where long datagrams may be what is lost, go on with shorter ones: "When starting a new probe, the node MUST reset
        its retransmission timers", and with the shortest go on to the end (RFC 7383 section 2.5.2)."""
        if outstanding.probed < TRANSMISSIONS_OF_A_SIZE:
            return
        smaller = self._carrier.in_smaller_pieces(outstanding.sealed)
        if smaller is not None:
            pattern = self._carrier.retransmission
            outstanding.sealed, outstanding.probed, outstanding.pause = smaller, 0, pattern.first
            outstanding.last_attempt = outstanding.attempts + max(1, pattern.attempts)

    def _transmit(self, outstanding: Outstanding) -> None:
        outstanding.attempts += 1
        outstanding.probed += 1
        self._carrier.transmit(outstanding.sealed)
        pause = outstanding.pause * (1 + self._carrier.jitter() / 10)  # so that many SAs do not speak in step
        self._carrier.timers.set(Timer.RETRANSMIT, self._carrier.now + pause)
        outstanding.pause *= self._carrier.retransmission.factor

    def _settle(self) -> None:
        self._outstanding = None
        self._carrier.timers.stop(Timer.RETRANSMIT)

    def _doubt(self, outstanding: Outstanding, error: PeerError | PeerRejected) -> None:
        """An unprotected reply that does not help: drop it, or believe it a little."""
        if isinstance(error, PeerError):
            raise error
        if outstanding.refusal is None:
            outstanding.refusal = error
            outstanding.last_attempt = min(outstanding.last_attempt, outstanding.attempts + 1)

    @staticmethod
    def _silence(outstanding: Outstanding) -> Silent:
        return Silent(
            f"no answer to {outstanding.request.exchange} after {outstanding.attempts} transmissions",
            attempts=outstanding.attempts,
            hint="is the peer up, and do UDP ports 500 and 4500 pass the firewalls on the way?",
        )


class ResponseLane:
    """The peer's requests on one IKE SA.

    Args:
        expected: message id of its first request after IKE_SA_INIT: 1 where the peer is the original
            initiator, else 0.
    """

    __slots__ = ("_answer", "_answered", "_expected", "_repeats", "_task")

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._answered: bytes | None = None
        self._answer: Sealed | None = None
        self._repeats = 0
        self._task: Task | None = None

    def repeated(self, request: bytes) -> Sealed | None:
        """The answer to a request that came before, octet for octet the same; None otherwise. A request in fragments is known
        by its first: others "MUST be ignored" (RFC 7383 section 2.6.1).

        "A retransmission ... MUST be bitwise identical to the original" (section 2.1), so that comparing the
        octets proves as much as verifying the checksum again, for less.
        """
        if request != self._answered:
            return None
        self._repeats += 1
        return self._answer

    @property
    def seems_lost(self) -> bool:
        """Whether the peer has asked for the last answer so often that it seems not to get through."""
        return self._repeats > 0 and self._repeats % TRANSMISSIONS_OF_A_SIZE == 0

    def again(self, message_id: int) -> Sealed | None:
        """The answer to the last request, for a peer that cut it anew; None where that is another one."""
        return self._answer if message_id == self._expected - 1 else None

    def replace(self, answer: Sealed) -> None:
        """From here on the last answer goes out like this."""
        self._answer = answer

    def admit(self, message_id: int) -> None:
        """Require that a request has the next message id, and that no other one is being answered.

        Raises:
            UnexpectedMessage: it does not, or one is; to be dropped (section 2.3).
        """
        if message_id != self._expected:
            raise UnexpectedMessage(f"a request with message id {message_id}, the next is {self._expected}")
        if self._task is not None:
            raise UnexpectedMessage(f"request {message_id} is being answered")

    def remember(self, request: bytes, answer: Sealed) -> None:
        """Keep the answer to IKE_SA_INIT, which came before there was a lane."""
        self._answered, self._answer = request, answer

    def run(self, task: Task) -> None:
        """Work on the answer."""
        self._task = task
        task.start()

    def complete(self, request: bytes, answer: Sealed) -> None:
        """Keep the answer to the request that was admitted."""
        self._expected += 1
        self._repeats = 0
        self._answered, self._answer = request, answer
        self._task = None

    def close(self) -> None:
        """End the work on an answer; the last answer stays for a peer that missed it."""
        task, self._task = self._task, None
        if task is not None:
            task.close()
