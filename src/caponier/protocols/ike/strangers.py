"""Strangers: who speaks to us without an IKE SA of ours, and what they may make us do (RFC 7296 sections 1.2, 2.5, 2.6 and 2.21).

Theory of operation. Until a peer has authenticated itself, anybody may be behind its messages, so all that is done for
it is bounded: the IKE SAs that are half-open, in all and for each address; cookies that are demanded when there are many;
refusals that are kept; answers that are sent in clear. A message goes through the cheap questions first: whether it came
before, whether there is room, whether its sender is where it says; only then whether it is well-formed, and only then is a
key made. What one stranger uses up must not be missing for another: cookies have no budget, refusals have one of their own,
and once that is spent a cookie is demanded before anything is refused.
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
from caponier.protocols.ike.messages.message import decode_beginning, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import Notify
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

    __slots__ = (
        "_alarms",
        "_cookies",
        "_drops",
        "_embryos",
        "_firsts",
        "_half_open",
        "_home",
        "_refusals",
        "_refusing",
    )

    def __init__(self, home: Home) -> None:
        self._home = home
        self._half_open = HalfOpen(home.settings.limits)
        self._embryos: dict[bytes, IkeSa] = {}  # half-open IKE SAs by the digest of their first request
        self._firsts: dict[bytes, bytes] = {}  # those digests, by our SPI
        self._cookies = CookieJar(home.rng)
        self._refusing = AnswerBudget()  # of IKE_SA_INIT requests
        self._alarms = AnswerBudget()  # about messages that belong to no IKE SA, or to no version of ours
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
            self._send_if(self._refusing, refused, path, now)
            return
        if self._home.is_shut_down:
            raise UnexpectedMessage("we are shutting down")
        refusal = self._full(path)
        if refusal is not None:
            self._count(refusal, path, f"{self._half_open.total} half-open IKE SAs")
        elif not self._demands_cookie(path, now):
            self._respond(octets, header, path, now)
        elif self._has_cookie(octets, header, path, now):
            self._respond(octets, header, path, now, is_reachable=True)

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
            self._send_if(self._alarms, _in_clear(header, decided.notify), path, now)

    def is_known(self, sa: IkeSa) -> None:
        """The SA is no longer half-open: its peer has authenticated itself, or it is closed."""
        digest = self._firsts.pop(sa.spi_r, None) if sa.role is Role.RESPONDER else None
        if digest is not None:  # a repetition of its first request may have begun another one since
            del self._embryos[digest]
            self._half_open.leave(sa.origin)

    def forget_refusals(self) -> None:
        """The configuration has changed: what was refused may be welcome now."""
        self._refusals.forget_all()

    # -- the inside

    def _full(self, path: Path) -> str | None:
        """Why there is no room for one more stranger; None when there is."""
        established = self._home.sa_count - self._half_open.total
        if established >= self._home.settings.limits.ike_sas:
            return "ike-sa-limit"
        return self._half_open.refusal(path.remote)

    def _demands_cookie(self, path: Path, now: float) -> bool:
        """Whether a stranger has to show first that it is where it says: so many are half-open, or were refused lately."""
        return self._half_open.demands_cookie(path.remote) or self._refusing.is_spent(now)

    def _has_cookie(self, octets: bytes, header: Header, path: Path, now: float) -> bool:
        """Whether a request brings the right cookie; if not, it gets one (section 2.6).

        No other payload is looked into. The answer is never longer than the request, so that it makes no flood larger, and no
        budget that a flood could use up stands between an honest peer and its cookie.
        """
        cookie, ni = decode_beginning(octets, header)
        if cookie is not None and self._cookies.recognizes(cookie, ni, path.remote, header.spi_i, now):
            return True
        baked = self._cookies.bake(ni, path.remote, header.spi_i, now)
        answer = _in_clear(header, Notify(NotifyType.COOKIE, data=baked))
        if len(answer) > len(octets):
            raise UnexpectedMessage("an IKE_SA_INIT request that has no room for what it must have")
        self._home.send(Datagram(answer, path))
        return False

    def _respond(self, octets: bytes, header: Header, path: Path, now: float, *, is_reachable: bool = False) -> None:
        message, home = decode_message(octets, header), self._home
        check(message)
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
            self._refuse(octets, header, sa, error, now, is_reachable=is_reachable)
            return
        sa.candidates, sa.init_result, sa.nat, sa.init_received = answer.candidates, answer.result, answer.nat, octets
        sa.fragmentation = answer.fragmentation
        with answer.shared as shared:
            keys = derive_ike_keys(answer.suite, shared, answer.result.ni, answer.result.nr, sa.spi_i, sa.spi_r)
        response = sa.seal(ExchangeType.IKE_SA_INIT, is_response=True, message_id=0, payloads=answer.payloads)
        sa.adopt_keys(answer.suite, keys)
        sa.begin_intermediate(answer.suite)
        sa.responses.remember(octets, response)
        sa.timers.set(Timer.HALF_OPEN, now + home.settings.limits.half_open_seconds)
        digest = _digest(octets)
        self._embryos[digest], self._firsts[sa.spi_r] = sa, digest
        self._half_open.enter(path.remote)
        home.enter(sa)
        sa.transmit(response)

    def _refuse(
        self, octets: bytes, header: Header, sa: IkeSa, error: PeerError, now: float, *, is_reachable: bool
    ) -> None:
        """Refuse an IKE_SA_INIT request; the same refusal again when it comes again, and one report."""
        decided = reaction(error, Phase.CONNECTING, is_protected=False)
        if decided.action is Action.DROP or decided.notify is None:
            raise error
        answer = _in_clear(header, decided.notify)
        if is_reachable:  # it brought a cookie, so that nobody else is hit, nor heard less
            self._home.send(Datagram(answer, sa.path))
        else:
            self._send_if(self._refusing, answer, sa.path, now)
        if decided.notify.type == NotifyType.INVALID_KE_PAYLOAD:
            return  # not a failure: the peer tries again with the right group
        self._refusals.remember(sa.path, octets, answer)
        self._home.report(NegotiationFailed(sa.connection_name, None, Role.RESPONDER, sa.path, error))

    def _send_if(self, budget: AnswerBudget, octets: bytes, path: Path, now: float) -> None:
        if budget.take(now):
            self._home.send(Datagram(octets, path))
        else:
            self._drops["answer-budget"] += 1

    def _count(self, reason: str, path: Path, detail: str) -> None:
        self._drops[reason] += 1
        self._home.report(DatagramDropped(path, reason, detail))


def _in_clear(header: Header, notify: Notify) -> bytes:
    """An answer in clear, with the SPIs of the request; nothing is kept."""
    answer = Header(
        spi_i=header.spi_i,
        spi_r=header.spi_r,
        exchange=header.exchange,
        is_initiator=not header.is_initiator,
        is_response=True,
        message_id=header.message_id,
    )
    return encode_message(answer, (notify,))


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def _reason(error: PeerError) -> str:
    """The name of a counter: the error's, in lower case with hyphens."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
