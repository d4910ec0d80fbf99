"""One IKE SA: its keys, its two lanes, its Child SAs, and where it is in its life (RFC 7296 section 2).

Theory of operation. Octets come in by ``receive``, the clock by ``handle_timeout``. A reply goes to the request
lane and wakes the exchange body that waits for it; a request goes through the lifecycle table to a responder
body, and what that returns becomes the response. Everything that another exchange may need to know of a running
one is a field here, never a local of a body.

Nothing that is not protected by this SA's keys changes it, save the reply to IKE_SA_INIT, which makes the keys.
Errors of the peer that are to be dropped leave ``receive`` as exceptions; the endpoint counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, NotifyType, ProtocolId
from caponier.errors import (
    CaponierError,
    Disposition,
    InternalError,
    PeerError,
    Silent,
    UnexpectedMessage,
)
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.authentication.evidence import PeerAuthenticated
from caponier.mechanisms.keys.schedule import IkeKeys
from caponier.protocols.ike.effects import Effect
from caponier.protocols.ike.events import (
    IkeSaClosed,
    IkeSaEstablished,
    IkeSaId,
    IkeSaStatus,
    NegotiationFailed,
    Role,
)
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Message, covered_by, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import Delete, Notify, Payload
from caponier.protocols.ike.messages.rules import check, rekeys_ike
from caponier.protocols.ike.path import Datagram, NatKeepalive, Path
from caponier.protocols.ike.policy import Connection, Retransmission
from caponier.protocols.ike.v2.arrivals import (
    Arrival,
    answer_to_cut_anew,
    arrive,
    in_smaller_pieces,
    last_answer,
    room_for,
)
from caponier.protocols.ike.v2.children import Children
from caponier.protocols.ike.v2.followups import Followups
from caponier.protocols.ike.v2.fragmentation import Fragmentation, Sealed
from caponier.protocols.ike.v2.host import Answer, Host, Repertoire
from caponier.protocols.ike.v2.intermediate import Intermediate
from caponier.protocols.ike.v2.internal_addresses import InternalAddresses
from caponier.protocols.ike.v2.lanes import RequestLane, ResponseLane
from caponier.protocols.ike.v2.lifecycle import Phase, Verdict, verdict_on_ours, verdict_on_theirs
from caponier.protocols.ike.v2.movement import Movement
from caponier.protocols.ike.v2.nat import Nat
from caponier.protocols.ike.v2.protection import Protection
from caponier.protocols.ike.v2.pulse import Pulse
from caponier.protocols.ike.v2.quantum import QuantumSafety
from caponier.protocols.ike.v2.reaction import Action, is_passing, notify_of, reaction
from caponier.protocols.ike.v2.reauthentication import Reauthentication
from caponier.protocols.ike.v2.steps import Instruction, Outcome, Perform, Returned, Task
from caponier.protocols.ike.v2.succession import Succession
from caponier.protocols.ike.v2.timers import (
    LINGER_SECONDS,
    REKEY_RETRY_SECONDS,
    Timer,
    TimerTable,
)

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.exchanges.init import InitResult

NO_SPI = bytes(8)


def _deletes_ike_sa(request: Message) -> bool:
    return any(each.protocol == ProtocolId.IKE for each in request.all(Delete))


class IkeSa:
    """An IKE SA, from its first message to its last.

    Args:
        host: the endpoint.
        repertoire: the exchanges it takes part in.
        role: ours.
        spi_i: the initiator's SPI, 8 octets.
        spi_r: the responder's, 8 octets; zero until the initiator learns it.
        path: where the peer is.
        candidates: connections that it may be for: exactly one when we initiate.
        now: the instant of its beginning.
        begins_at_zero: whether no IKE_SA_INIT has used message id 0, so that the first request of each side has it.
    """

    def __init__(
        self,
        host: Host,
        repertoire: Repertoire,
        *,
        role: Role,
        spi_i: bytes,
        spi_r: bytes,
        path: Path,
        candidates: tuple[Connection, ...],
        now: float,
        begins_at_zero: bool = False,
    ) -> None:
        is_initiator = role is Role.INITIATOR
        self.host = host
        self.role = role
        self.spi_i, self.spi_r = spi_i, spi_r
        self.path = path
        self.arrival = path  #: of the message that is being worked on
        self.movement: Movement | None = None  #: how the ends may move; None where they stay
        self.origin = path.remote  #: where its first message came from, or went to
        self.candidates = candidates
        self.connection: Connection | None = candidates[0] if is_initiator and candidates else None
        self.phase = Phase.CONNECTING
        self.now = now
        self.began = now  #: instant of the first message
        self.since: float | None = None  #: instant of establishment
        self.last_heard = now  #: instant of the last authentic message
        self.timers = TimerTable()
        self.requests = RequestLane(self, next_id=1 if is_initiator and not begins_at_zero else 0)
        self.responses = ResponseLane(expected=0 if is_initiator or begins_at_zero else 1)
        self.protection: Protection | None = None
        self.answered_with: Protection | None = (
            None  #: what sealed our last answer; IKE_INTERMEDIATE changes keys behind it
        )
        self.nat = Nat()
        self.fragmentation: Fragmentation | None = None  #: None where the two sides did not agree on it (RFC 7383)
        self.prefers_udp = False  #: whether both sides like ESP in UDP better
        self.init_sent = b""  #: our last IKE_SA_INIT message, which our AUTH covers
        self.init_received = b""  #: the peer's
        self.init_result: InitResult | None = None  #: a responder's, between its two initial exchanges
        self.intermediate = Intermediate()  #: what lies between the two initial exchanges
        self.quantum = QuantumSafety()
        self.peer: PeerAuthenticated | None = None
        self.local_auth = ""  #: how we proved ourselves, for the status
        self.children = Children(self, repertoire)
        self.internal = InternalAddresses(self)
        self.followups = Followups(self)
        self.succession = Succession(self)
        self.pulse = Pulse(self, repertoire)
        self.reauthentication = Reauthentication(self)
        self.predecessor: IkeSa | None = None  #: which this one is to replace, until it inherits
        self._repertoire = repertoire
        self._closing_error: CaponierError | None = None
        self._last_sent = now

    @classmethod
    def successor(cls, old: IkeSa, role: Role, spi_i: bytes, spi_r: bytes) -> IkeSa:
        """An IKE SA that is to replace ``old``: "The new IKE SA MUST reset its message counters to 0" (section 2.18). It
        knows the peer as ``old`` does, and has no keys yet."""
        sa = cls(
            old.host,
            old._repertoire,
            role=role,
            spi_i=spi_i,
            spi_r=spi_r,
            path=old.path,
            candidates=() if old.connection is None else (old.connection,),
            now=old.now,
            begins_at_zero=True,
        )
        sa.connection, sa.peer, sa.local_auth = old.connection, old.peer, old.local_auth
        sa.nat, sa.prefers_udp = old.nat, old.prefers_udp
        sa.fragmentation = None if old.fragmentation is None else Fragmentation(old.fragmentation.size)
        sa.since, sa.phase, sa.predecessor = old.now, Phase.ESTABLISHED, old
        sa._set_timers()
        sa.reauthentication.inherit(old.reauthentication)
        return sa

    def inherit(self, old: IkeSa) -> None:
        """Take over the Child SAs of the IKE SA that this one replaces, and what was to become of them."""
        self.now, self.predecessor = old.now, None
        self.internal.inherit(old.internal)
        if old.movement is not None:
            old.movement.pass_to(self)
        self.children.inherit(old.children, old.requests.drop_waiting())
        self.host.report(IkeSaEstablished(self.status()))
        self.host.touched(self)

    # -- in

    def receive(self, octets: bytes, header: Header, path: Path, now: float) -> None:
        """Take a message whose SPIs are ours.

        Raises:
            PeerError: it is dropped.
        """
        self.now = now
        if self.pulse.is_complaint(header):
            self.pulse.doubt()
        if header.is_response:
            self._receive_reply(octets, header, path)
        else:
            self._receive_request(octets, header, path)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self.now = now
        for timer in self.timers.expired(now):
            self._handle(timer)

    # -- ask

    @property
    def local_spi(self) -> bytes:
        """The SPI by which the peer addresses us."""
        return self.spi_i if self.role is Role.INITIATOR else self.spi_r

    @property
    def remote_spi(self) -> bytes:
        return self.spi_r if self.role is Role.INITIATOR else self.spi_i

    @property
    def id(self) -> IkeSaId:
        return IkeSaId(self.spi_i, self.spi_r)

    @property
    def connection_name(self) -> str | None:
        """Whose it is, or will be where only one connection fits the peer's address."""
        known = self.connection or (self.candidates[0] if len(self.candidates) == 1 else None)
        return None if known is None else known.name

    def require_connection(self, peer: PeerAuthenticated) -> Connection:
        """The connection that the proven peer belongs to."""
        if self.connection is None:
            raise InternalError(f"{peer.identity.text} is proven, and belongs to no connection")
        return self.connection

    def require_init(self) -> InitResult:
        """What a responder keeps of IKE_SA_INIT."""
        if self.init_result is None:
            raise UnexpectedMessage("IKE_AUTH without IKE_SA_INIT")
        return self.init_result

    def status(self) -> IkeSaStatus:
        connection, peer, since = self.connection, self.peer, self.since
        return IkeSaStatus(
            id=self.id,
            connection="" if connection is None else connection.name,
            role=self.role,
            phase=self.phase.value,
            path=self.path,
            suite="" if self.protection is None else self.protection.suite.text,
            local_id="" if connection is None else connection.local.identity.text,
            remote_id="" if peer is None else peer.identity.text,
            local_auth=self.local_auth,
            remote_auth="" if peer is None else peer.method,
            nat_here=self.nat.here,
            nat_there=self.nat.there,
            fragment_size=None if self.fragmentation is None else self.fragmentation.size,
            since=self.began if since is None else since,
            last_heard=self.last_heard,
            transmissions=self.requests.transmissions,
            quantum_safe=self.quantum.messages,
            is_movable=self.movement is not None,
            peer_addresses=() if self.movement is None else self.movement.peer_addresses,
            children=tuple(record.status for record in self.children),
            assigned=tuple(map(str, self.internal.own)),
            lent=tuple(map(str, self.internal.peers)),
        )

    # -- what lanes need (lanes.Carrier)

    @property
    def retransmission(self) -> Retransmission:
        pattern = self.host.settings.retransmission
        return pattern if self.movement is None else self.movement.patient(pattern)

    @property
    def is_stranded(self) -> bool:
        """Whether we have no path at all now."""
        return self.movement is not None and self.movement.is_stranded

    def seal(
        self, exchange: ExchangeType, *, is_response: bool, message_id: int, payloads: Sequence[Payload]
    ) -> Sealed:
        header = Header(
            spi_i=self.spi_i,
            spi_r=self.spi_r,
            exchange=exchange,
            is_initiator=self.role is Role.INITIATOR,
            is_response=is_response,
            message_id=message_id,
        )
        if exchange == ExchangeType.IKE_SA_INIT:
            self.init_sent = encode_message(header, payloads)
            return (self.init_sent,)
        if exchange == ExchangeType.IKE_INTERMEDIATE:
            self.intermediate.sent = covered_by(header, payloads)
        return self.protector.seal(header, payloads, room_for(self, self.path))

    def transmit(self, sealed: Sealed) -> None:
        for path in (self.path,) if self.movement is None else self.movement.paths():
            self._transmit(sealed, path)
        if self.movement is not None:
            self.movement.transmitted()

    def in_smaller_pieces(self, sealed: Sealed) -> Sealed | None:
        return in_smaller_pieces(self, sealed, self.protection)

    def perform(self, effect: Effect, task: Task) -> None:
        self.host.perform(self, effect, task)

    def admits(self, exchange: ExchangeType) -> Verdict:
        return verdict_on_ours(self.phase, exchange)

    def jitter(self) -> float:
        return self.host.rng(1)[0] / 255

    # -- what exchange bodies tell

    @property
    def protector(self) -> Protection:
        """The keys at work.

        Raises:
            UnexpectedMessage: there are none yet.
        """
        if self.protection is None:
            raise UnexpectedMessage("the IKE SA has no keys yet")
        return self.protection

    def give_back(self, effect: Effect) -> None:
        """Let the outside do something whose result nobody waits for."""
        self.host.perform(self, effect, None)

    def adopt_keys(self, suite: IkeSuite, keys: IkeKeys) -> None:
        """From here on messages are protected."""
        self.protection = Protection(suite, keys, self.role, self.host.rng)

    def begin_intermediate(self, suite: IkeSuite) -> None:
        """IKE_SA_INIT is done: what is to come before IKE_AUTH is known."""
        self.intermediate = Intermediate(suite.additional_methods)
        self.quantum = QuantumSafety().with_methods(suite.key_exchange)

    def join(self, connection: Connection) -> None:
        """The peer says that it is of this connection; what others it might have been of is no longer of interest."""
        self.connection, self.candidates = connection, ()
        self.host.sa_identified(self)

    def establish(self, peer: PeerAuthenticated, local_auth: str) -> None:
        """Both sides are proven; ``peer`` is the evidence."""
        self.peer, self.local_auth = peer, local_auth
        self.since = self.last_heard = self.now
        self.phase = Phase.ESTABLISHED
        self.timers.stop(Timer.HALF_OPEN)
        self._set_timers()
        self.reauthentication.begin()
        self.host.sa_established(self)
        self.init_sent = self.init_received = b""  # both AUTH payloads are made and verified
        self.init_result = None
        self.host.report(IkeSaEstablished(self.status()))

    def _set_timers(self) -> None:
        """What an established IKE SA waits for."""
        self.pulse.begin()
        if self.connection is not None and self.connection.rekey is not None:
            early = 1 - self.jitter() / 10  # so that the two sides seldom want it at once
            self.timers.set(Timer.REKEY_IKE, self.now + self.connection.rekey * early)
        self.keep_mapping()

    def rekey(self) -> None:
        """Replace the IKE SA by one with new keys, unless that is under way."""
        if self.reauthentication.is_running:
            self.rekey_ike_later(REKEY_RETRY_SECONDS)  # the keys of another IKE SA are on their way
        elif self.phase is Phase.ESTABLISHED and self.predecessor is None:
            self.requests.enqueue(self._repertoire.rekey_ike(self))

    def rekey_ike_later(self, seconds: float) -> None:
        """There is no successor now: ask again after so many seconds, and up to half as many more."""
        self.timers.set(Timer.REKEY_IKE, self.now + seconds * (1 + self.jitter() / 2))

    def report_failure(self, error: CaponierError, *, child: str | None = None) -> None:
        """Tell that the IKE SA, or a Child SA of it, did not come to be."""
        self.host.report(NegotiationFailed(self.connection_name, child, self.role, self.path, error))

    def exchange_failed(self, error: CaponierError, *, child: str | None = None) -> None:
        """An exchange of ours gave up: lose the Child SA that it was about, or the IKE SA."""
        match reaction(error, self.phase, is_protected=True).action:
            case Action.CLOSE if self.phase is Phase.ESTABLISHED and not isinstance(error, Silent):
                self.request_close(error.message, error)
            case Action.CLOSE:
                self.finish(error.message, error)
            case Action.DROP if self.phase is Phase.CLOSED:
                pass
            case _:
                self.report_failure(error, child=child)

    # -- the end

    def request_close(self, reason: str, error: CaponierError | None = None) -> None:
        """End the IKE SA and tell the peer (RFC 7296 section 1.4.1)."""
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        self.requests.drop_waiting()
        self._closing_error = error
        is_answered = self.role is Role.INITIATOR and self.requests.outstanding_exchange == ExchangeType.IKE_AUTH
        if self.phase is Phase.CONNECTING and not is_answered:
            self.finish(reason, error)  # the peer has nothing of it, or will forget its half
            return
        if self.phase is not Phase.CONNECTING:
            self.phase = Phase.CLOSING
        # While our IKE_AUTH is out the Delete waits: the peer may be established by now.
        self.requests.enqueue(self._repertoire.delete(self))

    def finish(self, reason: str, error: CaponierError | None = None) -> None:
        """The IKE SA and its Child SAs are gone, here and now."""
        if self.phase is Phase.CLOSED:
            return
        error = error or self._closing_error
        if self.phase is Phase.REKEYING:
            self.succession.settle_for_theirs()  # the peer deletes it: it knows of no successor but its own (section 2.8.2)
        self.phase = Phase.CLOSED
        self.requests.close()
        self.responses.close()
        self.followups.close()
        self.children.remove_all(reason)
        self.internal.give_back()
        self.timers.stop_all()
        self.timers.set(Timer.LINGER, self.now + LINGER_SECONDS)
        if self.protection is not None:
            self.protection.close()
        if self.since is None and error is not None:
            self.report_failure(error)
        else:
            self.host.report(IkeSaClosed(self.id, self.connection_name or "", reason, error))
        self.host.sa_closed(self)

    # -- replies

    def _receive_reply(self, octets: bytes, header: Header, path: Path) -> None:
        self.requests.expects(header)
        try:
            reply = self._open_reply(octets, header, path)
            if reply is None:
                self._heard(path)  # a part of it: nobody else could have sent that
                return
            check(reply)
        except PeerError as error:
            if error.disposition is Disposition.DROP:
                raise
            # Authentic, and yet wrong: the exchange fails, whatever it was (section 2.21.3).
            self._heard(path)
            self.requests.receive_error(error)
            return
        if reply.is_protected:
            self._heard(path)
            if self.movement is not None:
                self.movement.replied(path)
        self.requests.receive(reply)

    def _open_reply(self, octets: bytes, header: Header, path: Path) -> Message | None:
        if header.exchange == ExchangeType.IKE_SA_INIT:
            self.init_received = octets  # of the last one: the one that the exchange body goes on with
            return decode_message(octets, header)
        arrival = arrive(self, octets, header, path)
        return None if arrival is None else arrival.message

    # -- requests

    def _receive_request(self, octets: bytes, header: Header, path: Path) -> None:
        answer = self.responses.repeated(octets)
        if answer is not None:
            self._transmit(last_answer(self, answer), path)
            return
        answer = answer_to_cut_anew(self, octets, header, path)
        if answer is not None:
            self._transmit(answer, path)
            return
        verdict = verdict_on_theirs(self.phase, header.exchange)
        if verdict is Verdict.IGNORE:
            raise UnexpectedMessage(f"{header.exchange} while the IKE SA is {self.phase.value}")
        self.responses.admit(header.message_id)
        try:
            arrival = arrive(self, octets, header, path)
            if arrival is not None:
                check(arrival.message)
        except PeerError as error:
            if error.disposition is Disposition.DROP:
                raise
            self._heard(path)
            self._refuse(octets, header, path, error)
            return
        self._heard(path)
        if arrival is not None:
            self._take(arrival, header, path, verdict)

    def _take(self, arrival: Arrival, header: Header, path: Path, verdict: Verdict) -> None:
        """An authentic, well-formed request that is the next one."""
        octets, request = arrival.octets, arrival.message
        if self.predecessor is not None and not _deletes_ike_sa(request):
            self.predecessor.succession.chosen(self)
        if verdict is Verdict.TEMPORARY_FAILURE and not self._is_rivalry(request):
            self._answer(octets, header, path, Answer((Notify(NotifyType.TEMPORARY_FAILURE),)))
            return
        self._respond(octets, request, path)

    def _is_rivalry(self, request: Message) -> bool:
        """Whether the peer rekeys the IKE SA while we do: "it SHOULD reply as usual" (section 2.25.2)."""
        return self.phase is Phase.REKEYING and rekeys_ike(request)

    def _respond(self, octets: bytes, request: Message, path: Path) -> None:
        responder = self._repertoire.responders[request.exchange]

        def ended(outcome: Outcome) -> None:
            if isinstance(outcome, Returned):
                self._answer(octets, request.header, path, outcome.value)
            else:
                self._refuse(octets, request.header, path, outcome.error)

        def carry_out(task: Task, instruction: Instruction) -> None:
            if isinstance(instruction, Perform):
                self.perform(instruction.effect, task)
            else:
                task.fail(UnexpectedMessage("a responder waits for no reply within its exchange"))

        self.responses.run(Task(responder(self, request), carry_out, ended))

    def _answer(self, octets: bytes, header: Header, path: Path, answer: Answer) -> None:
        """Send the response to where the request came from (section 2.11), and keep it."""
        response = self.seal(header.exchange, is_response=True, message_id=header.message_id, payloads=answer.payloads)
        self.answered_with = self.protection
        self.responses.complete(octets, response)
        self._transmit(response, path)
        answer.then()

    def _refuse(self, octets: bytes, header: Header, path: Path, error: CaponierError) -> None:
        """Answer a request with an error, and draw the consequence."""
        decided = reaction(error, self.phase, is_protected=True)
        notify = decided.notify or Notify(NotifyType.INVALID_SYNTAX)
        if header.exchange == ExchangeType.IKE_AUTH and self.phase is Phase.CONNECTING and notify_of(error) is None:
            notify = Notify(NotifyType.AUTHENTICATION_FAILED)  # our own trouble: the peer cannot be let in

        def then() -> None:
            if decided.action is Action.CLOSE:
                self.finish(error.message, error)
            elif not is_passing(error):
                self.report_failure(error)

        self._answer(octets, header, path, Answer((notify,), then))

    def _heard(self, path: Path) -> None:
        """An authentic, fresh message came: the peer lives, perhaps at another address (section 2.23)."""
        self.last_heard = self.now
        self.arrival = path
        if self.movement is None:  # else only what says so moves anybody, RFC 4555 section 3.8
            self.follow_peer(path)

    def follow_peer(self, path: Path) -> None:
        """The peer speaks from elsewhere: send there from now on, where we may."""
        if path == self.path:
            return
        # The initiator moves to port 4500 with its first protected message; later only NATs move a peer.
        if (self.phase is Phase.CONNECTING and self.role is Role.RESPONDER) or self.nat.follows_peer:
            self.path = path
            self.children.move()

    # -- timers

    def _handle(self, timer: Timer) -> None:
        due: dict[Timer, Callable[[], None]] = {
            Timer.RETRANSMIT: self.requests.handle_retransmit,
            Timer.HALF_OPEN: self._give_up_waiting,
            Timer.LIVENESS: self.pulse.check,
            Timer.NAT_KEEPALIVE: self.keep_mapping,
            Timer.SURPLUS: lambda: self.request_close("both sides connected at the same time; the other IKE SA stays"),
            Timer.REKEY: self.children.handle_rekey,
            Timer.EXPIRE: self.children.handle_expired,
            Timer.REKEY_IKE: self.rekey,
            Timer.REAUTH: self.reauthentication.handle,
            Timer.SUCCEEDED: lambda: self.request_close("it was replaced, and the peer did not delete it"),
            Timer.RETIRED: self.children.handle_retired,
            Timer.FOLLOWUP: self.followups.handle_timeout,
            Timer.REASSEMBLY: self._forget_parts,
            Timer.LINGER: self.timers.stop_all,
        }
        due[timer]()

    def _give_up_waiting(self) -> None:
        seconds = self.host.settings.limits.half_open_seconds
        message = f"the peer began an IKE SA and did not authenticate itself within {seconds:g} seconds"
        self.finish(
            message, Silent(message, attempts=0, hint="was our answer lost on its way, or did somebody only knock?")
        )

    def _forget_parts(self) -> None:
        if self.fragmentation is not None:
            self.fragmentation.clear()

    def keep_mapping(self) -> None:
        """Refresh the mapping of the NAT before us, if there is one (RFC 3948 section 4)."""
        interval = None if self.connection is None else self.connection.nat_keepalive
        if interval is None or not self.nat.here:
            self.timers.stop(Timer.NAT_KEEPALIVE)
            return
        if self._last_sent + interval <= self.now and self.path.encapsulated:
            self.host.send(NatKeepalive(self.path))
            self._last_sent = self.now
        self.timers.set(Timer.NAT_KEEPALIVE, max(self._last_sent, self.now) + interval)

    def _transmit(self, sealed: Sealed, path: Path) -> None:
        self._last_sent = self.now
        for octets in sealed:
            self.host.send(Datagram(octets, path))
