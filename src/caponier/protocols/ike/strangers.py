"""Strangers: who speaks to us without an IKE SA of ours, and what they may make us do (RFC 7296 sections 1.2, 2.5, 2.6 and 2.21).

Theory of operation. Until a peer has authenticated itself, anybody may be behind its messages, so all that is done for
it is bounded: the IKE SAs that are half-open, in all and for each address; cookies that are demanded when there are many;
refusals that are kept; answers that are sent in clear. A message goes through the cheap questions first: whether it came
before, whether it is well-formed, whether there is room, whether its sender is where it says. Only then is a key made.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import PeerError, UnexpectedMessage
from caponier.mechanisms.keys.schedule import derive_ike_keys
from caponier.octets import Reader
from caponier.protocols.ike.events import DatagramDropped, NegotiationFailed, Role
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Message, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import Nonce, Notify, Payload
from caponier.protocols.ike.messages.rules import check
from caponier.protocols.ike.path import Datagram, Path
from caponier.protocols.ike.v2.cookies import CookieJar
from caponier.protocols.ike.v2.exchanges import init
from caponier.protocols.ike.v2.half_open import AnswerBudget, HalfOpen, Refusals
from caponier.protocols.ike.v2.host import Host
from caponier.protocols.ike.v2.ike_sa import NO_SPI, IkeSa
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.reaction import Action, reaction
from caponier.protocols.ike.v2.repertoire import REPERTOIRE
from caponier.protocols.ike.v2.timers import Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.policy import Connection


class Home(Host, Protocol):
    """The endpoint, as strangers find it."""

    @property
    def is_shut_down(self) -> bool:
        """Whether nobody is let in any more."""

    @property
    def sa_count(self) -> int:
        """IKE SAs of all kinds, half-open ones too."""

    def candidates(self, path: Path) -> tuple[Connection, ...]:
        """The connections that a peer on this path may be of (RFC 4301 section 4.4.3)."""

    def enter(self, sa: IkeSa) -> None:
        """From here on messages find this IKE SA by our SPI."""


class Strangers:
    """All that one endpoint does for peers that it does not know yet.

    Args:
        home: the endpoint.
    """

    __slots__ = ("_budget", "_cookies", "_drops", "_embryos", "_half_open", "_home", "_refusals")

    def __init__(self, home: Home) -> None:
        self._home = home
        self._half_open = HalfOpen(home.settings.limits)
        self._embryos: dict[bytes, IkeSa] = {}  # half-open IKE SAs by the digest of their first request
        self._cookies = CookieJar(home.rng)
        self._budget = AnswerBudget()
        self._refusals = Refusals()
        self._drops: Counter[str] = Counter()

    @property
    def half_open(self) -> int:
        """IKE SAs whose initiators have not authenticated themselves yet."""
        return self._half_open.total

    @property
    def drops(self) -> Mapping[str, int]:
        """Datagrams that were dropped, by reason."""
        return dict(self._drops)

    # -- in

    def receive(self, octets: bytes, header: Header, path: Path, now: float) -> None:
        """An IKE_SA_INIT request (RFC 7296 sections 1.2, 2.1 and 2.6).

        Raises:
            PeerError: it leads to nothing.
        """
        if header.spi_r != NO_SPI or header.spi_i == NO_SPI:
            raise UnexpectedMessage("an IKE_SA_INIT request with a responder's SPI")
        known = self._embryos.get(_digest(octets))
        if known is not None:
            known.receive(octets, header, path, now)
            return
        refused = self._refusals.find(path, octets)
        if refused is not None:
            self._send(refused, path, now)
            return
        message = decode_message(octets)
        check(message)
        if self._home.is_shut_down:
            raise UnexpectedMessage("we are shutting down")
        if self._admit(message, path, now):
            self._respond(octets, message, path, now)

    def dismiss(self, error: PeerError, octets: bytes, path: Path, now: float) -> None:
        """Count a datagram that leads to nothing; a few kinds are answered (sections 2.5 and 2.21.4)."""
        self._count(_reason(error), path, error.message)
        decided = reaction(error, Phase.CONNECTING, is_protected=False)
        if decided.action is not Action.REPLY or decided.notify is None:
            return
        try:
            header = Header.decode(Reader(octets, "IKE header"))
        except PeerError:
            return
        if not header.is_response:
            self._answer(header, (decided.notify,), path, now)

    def is_known(self, sa: IkeSa) -> None:
        """The SA is no longer half-open: its peer has authenticated itself, or it is closed."""
        digest = _digest(sa.init_received)
        if self._embryos.get(digest) is sa:  # a repetition of its first request may have begun another one since
            del self._embryos[digest]
            self._half_open.leave(sa.origin)

    def forget_refusals(self) -> None:
        """The configuration has changed: what was refused may be welcome now."""
        self._refusals.forget_all()

    # -- the inside

    def _admit(self, message: Message, path: Path, now: float) -> bool:
        """Whether there is room for one more stranger; if need be it has to bring a cookie first."""
        refusal = self._half_open.refusal(path.remote)
        established = self._home.sa_count - self._half_open.total
        if refusal is None and established >= self._home.settings.limits.ike_sas:
            refusal = "ike-sa-limit"
        if refusal is not None:
            self._count(refusal, path, f"{self._half_open.total} half-open IKE SAs")
            return False
        if not self._half_open.demands_cookie:
            return True
        ni, cookie = message.one(Nonce).data, message.notify(NotifyType.COOKIE)
        if cookie is not None and self._cookies.recognizes(cookie.data, ni, path.remote, message.spi_i, now):
            return True
        baked = self._cookies.bake(ni, path.remote, message.spi_i, now)
        self._answer(message.header, (Notify(NotifyType.COOKIE, data=baked),), path, now)
        return False

    def _respond(self, octets: bytes, message: Message, path: Path, now: float) -> None:
        home = self._home
        sa = IkeSa(
            home,
            REPERTOIRE,
            role=Role.RESPONDER,
            spi_i=message.spi_i,
            spi_r=home.fresh_spi(),
            path=path,
            candidates=home.candidates(path),
            now=now,
        )
        try:
            answer = init.respond(sa, message)
        except PeerError as error:
            self._refuse(octets, message.header, sa, error, now)
            return
        sa.candidates, sa.init_result, sa.nat, sa.init_received = answer.candidates, answer.result, answer.nat, octets
        with answer.shared as shared:
            keys = derive_ike_keys(answer.suite, shared, answer.result.ni, answer.result.nr, sa.spi_i, sa.spi_r)
        response = sa.seal(ExchangeType.IKE_SA_INIT, is_response=True, message_id=0, payloads=answer.payloads)
        sa.adopt_keys(answer.suite, keys)
        sa.begin_intermediate(answer.suite)
        sa.responses.remember(octets, response)
        sa.timers.set(Timer.HALF_OPEN, now + home.settings.limits.half_open_seconds)
        self._embryos[_digest(octets)] = sa
        self._half_open.enter(path.remote)
        home.enter(sa)
        sa.transmit(response)

    def _refuse(self, octets: bytes, header: Header, sa: IkeSa, error: PeerError, now: float) -> None:
        """Refuse an IKE_SA_INIT request; the same refusal again when it comes again, and one report."""
        decided = reaction(error, Phase.CONNECTING, is_protected=False)
        if decided.action is Action.DROP or decided.notify is None:
            raise error
        answer = self._answer(header, (decided.notify,), sa.path, now)
        if decided.notify.type == NotifyType.INVALID_KE_PAYLOAD:
            return  # not a failure: the peer tries again with the right group
        self._refusals.remember(sa.path, octets, answer)
        self._home.report(NegotiationFailed(sa.connection_name, None, Role.RESPONDER, sa.path, error))

    def _answer(self, header: Header, payloads: tuple[Payload, ...], path: Path, now: float) -> bytes:
        """Answer in clear, with the SPIs of the request, keeping nothing."""
        answer = encode_message(
            Header(
                spi_i=header.spi_i,
                spi_r=header.spi_r,
                exchange=header.exchange,
                is_initiator=not header.is_initiator,
                is_response=True,
                message_id=header.message_id,
            ),
            payloads,
        )
        self._send(answer, path, now)
        return answer

    def _send(self, octets: bytes, path: Path, now: float) -> None:
        if self._budget.take(now):
            self._home.send(Datagram(octets, path))
        else:
            self._drops["answer-budget"] += 1

    def _count(self, reason: str, path: Path, detail: str) -> None:
        self._drops[reason] += 1
        self._home.report(DatagramDropped(path, reason, detail))


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def _reason(error: PeerError) -> str:
    """The name of a counter: the error's, in lower case with hyphens."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
