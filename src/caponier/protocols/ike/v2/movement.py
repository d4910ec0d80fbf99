"""Where the two ends of an IKE SA are, and how they move (RFC 4555, MOBIKE).

Theory of operation. Who began the first of a series of IKE SAs *leads*: it alone decides between which two addresses the
Child SAs travel, and tells the peer by UPDATE_SA_ADDRESSES. The other side *follows*: it tells which addresses it has, and
moves on its own only when the address that it uses is gone (section 3.5).

Three things make the leader look for another path: its addresses or routes change, the peer announces other addresses, and
a request that is not answered. The outside is asked which paths there are (the effect FindPaths), and then:

* The address in use is gone: everything moves at once, a request that is out too, and the update follows it.
* There is a better path: an empty request goes along it first. Only when it is answered everything moves (section 3.10).
* The path is silent: from the third transmission on a request goes along every path. The one that the answer comes along is
  taken. No answer by itself proves where the peer is, for an attacker could have sent it on (section 3.7): the update with
  its COOKIE2 does.

A change that comes while an update is out makes its answer worthless: :attr:`Movement.changes` tells, and the update goes
out again. A follower sends packets to a new address once the peer has shown there that it receives (section 3.7).
Nobody moves because of an IKE message that does not say so (section 3.8); ESP in UDP shows where a NAT has moved the peer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caponier.protocols.ike.effects import FindPaths
from caponier.protocols.ike.events import IkeSaMoved
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import IpAddress, Retransmission
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.nat import Nat, forces
from caponier.protocols.ike.v2.steps import Instruction, Outcome, Perform, Returned, Step, Task

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

FOLLOWERS_PATIENCE = 3  #: transmissions more: with the usual pauses some seven minutes in all
MOST_PATHS = 8  #: along which a request goes at once
SILENT_TRANSMISSIONS = 2  #: of a request that is not answered; then other paths are tried

_STANDING = (Phase.ESTABLISHED, Phase.REKEYING)


@dataclass(frozen=True, slots=True)
class Moves:
    """The exchanges by which ends move.

    Attributes:
        update: tells the peer where we are now.
        announce: tells the peer which addresses we have.
        check: has the peer show that it receives where it says that it is.
        explore: asks for a sign of life along a path.
    """

    update: Callable[[IkeSa], Exchange]
    announce: Callable[[IkeSa], Exchange]
    check: Callable[[IkeSa], Exchange]
    explore: Callable[[IkeSa, Path], Exchange]


class Movement:
    """What both ends agreed to do about their addresses; an IKE SA without it stays where it is.

    Args:
        sa: the IKE SA.
        moves: the exchanges.
        leads: whether we began the first IKE SA, and so decide.
    """

    def __init__(self, sa: IkeSa, moves: Moves, *, leads: bool) -> None:
        self._sa = sa
        self._moves = moves
        self.leads = leads
        self.peer_addresses: tuple[IpAddress, ...] = ()  #: the peer's further ones, as it told last
        self.announced = self.own_addresses  #: ours, as we told last
        self.changes = 0  #: of the path, so far
        self.is_pending = False  #: whether the peer is still to be told where we are
        self.is_stranded = False  #: whether no path is left to us
        self.verified = sa.path.remote  #: where the peer has shown that it receives
        self.explored: Path | None = None  #: along which the request goes that is out, to see whether it is answered
        self.newest = -1  #: message id of the peer's newest request that changed anything
        self._agreed = sa.path  # that the peer knows of
        self._others: tuple[Path, ...] = ()  # that there are besides
        self._seen_as: bytes | None = None  # digest of where the peer saw us last
        self._telling: dict[Callable[[IkeSa], Exchange], Exchange] = {}  # by what makes them: one of a kind is enough

    # -- ask

    @property
    def own_addresses(self) -> tuple[IpAddress, ...]:
        """Ours besides the one in use, as far as the configuration names them: a peer learns of no others (section 5.5)."""
        sa = self._sa
        named = () if sa.connection is None else sa.connection.local.addresses
        there = sa.host.addresses
        return tuple(each for each in named if each != sa.path.local and (there is None or each in there))

    def paths(self) -> tuple[Path, ...]:
        """Along which the request that is out goes this time."""
        transmissions = self._sa.requests.transmissions
        if self.is_stranded:
            return ()
        if transmissions <= SILENT_TRANSMISSIONS:
            return (self._sa.path if self.explored is None else self.explored,)
        return tuple(dict.fromkeys((self._sa.path, *self._others)))

    def patient(self, pattern: Retransmission) -> Retransmission:
        """A follower gives the leader time to find a way: "at least five minutes before giving up" (section 3.11)."""
        return pattern if self.leads else replace(pattern, attempts=pattern.attempts + FOLLOWERS_PATIENCE)

    # -- what happens

    def look_around(self) -> None:
        """Our addresses or routes may have changed."""
        sa = self._sa
        if sa.phase not in _STANDING:
            return
        is_gone = sa.host.addresses is not None and sa.path.local not in sa.host.addresses
        if self.leads or is_gone:
            self._find_paths()
        elif self.announced != self.own_addresses:
            self._tell(self._moves.announce)

    def transmitted(self) -> None:
        """The request that is out has just been sent: is it high time to look for another path?"""
        if self.leads and self._sa.requests.transmissions == SILENT_TRANSMISSIONS:
            self._find_paths()

    def replied(self, arrival: Path) -> None:
        """An authentic answer came along a path; where we asked along several, that is the one that works."""
        sa = self._sa
        tried = (*self._others, *(() if self.explored is None else (self.explored,)))
        if sa.phase in _STANDING and arrival != sa.path and any(_same_ends(arrival, each) for each in tried):
            self._go(arrival)

    def told_addresses(self, addresses: Sequence[IpAddress], arrival: Path) -> None:
        """The peer told which addresses it has: the one that it speaks from, and these."""
        sa = self._sa
        self.peer_addresses = tuple(dict.fromkeys(addresses))[: sa.host.settings.limits.addresses_per_peer]
        if self.leads and sa.path.remote not in (arrival.remote, *self.peer_addresses):
            self._go(arrival)

    def saw(self, digest: bytes | None, expected: bytes) -> None:
        """The peer told where it sees us: a NAT that has moved us is noticed by that (section 3.8).

        Args:
            digest: of NAT_DETECTION_DESTINATION_IP; None where there was none.
            expected: of where we are, if there is no NAT before us.
        """
        if self.leads and digest is not None and digest != (self._seen_as or expected):
            self._update()

    def settle(self, nat: Nat | None, digest: bytes | None) -> None:
        """The peer knows where we are, and has shown that it receives there.

        Args:
            nat: what is on the path; None where the peer did not say.
            digest: of where it sees us.
        """
        sa = self._sa
        self.is_pending, self._agreed, self.verified = False, sa.path, sa.path.remote
        self._seen_as = digest
        sa.nat = sa.nat if nat is None else nat
        sa.children.move()
        sa.keep_mapping()

    def refused(self) -> bool:
        """The peer refuses our path: take another one, if there is one, else the one before. Whether there is another one."""
        sa = self._sa
        self._others = tuple(each for each in self._others if not _same_ends(each, sa.path))
        others = [each for each in self._others if not _same_ends(each, self._agreed)]
        if others:
            self._go(others[0])
            return True
        self.is_pending = False
        sa.path = self._agreed
        self.changes += 1
        sa.children.move()
        return False

    def follow(self, arrival: Path, request: Message) -> None:
        """The leader is somewhere else now: IKE goes there at once, and packets when it has shown that it receives there."""
        sa = self._sa
        former, sa.path = sa.path, arrival
        self.changes += 1
        nat = Nat.detect(request, arrival, is_forced=forces(sa.connection))
        if nat.is_supported:
            sa.nat = nat
        self._report(former)
        sa.keep_mapping()
        sa.requests.resend()
        if arrival.remote == self.verified:
            sa.children.move()
        else:
            self._tell(self._moves.check)

    def checked(self) -> None:
        """The leader has shown that it receives where it is."""
        self.verified = self._sa.path.remote
        self._sa.children.move()

    def pass_to(self, heir: IkeSa) -> None:
        """The IKE SA has a successor: it goes on from where this one is."""
        old, self._sa = self._sa, heir
        heir.path, heir.nat, heir.movement, old.movement = old.path, old.nat, self, None
        self._seen_as, self.explored, self.newest, self._telling = None, None, -1, {}
        if self.is_pending:
            self._update()
        elif self.verified != heir.path.remote:
            self._tell(self._moves.check)

    # -- the inside

    def _find_paths(self) -> None:
        sa = self._sa
        ours = () if sa.connection is None else sa.connection.local.addresses
        remotes = tuple(dict.fromkeys((sa.path.remote, *self.peer_addresses)))

        def look() -> Step[Sequence[tuple[IpAddress, IpAddress]]]:
            pairs: Sequence[tuple[IpAddress, IpAddress]] = yield Perform(FindPaths(ours, remotes))
            return pairs

        def carry_out(task: Task, instruction: Instruction) -> None:
            if isinstance(instruction, Perform):
                sa.perform(instruction.effect, task)

        def ended(outcome: Outcome) -> None:
            if isinstance(outcome, Returned) and sa.movement is self and sa.phase in _STANDING:
                self._found([self._path(*pair) for pair in outcome.value[:MOST_PATHS]])

        Task(look(), carry_out, ended).start()

    def _path(self, local: IpAddress, remote: IpAddress) -> Path:
        path = self._sa.path
        if remote == path.remote:
            return replace(path, local=local)
        # Another address of the peer's: what port a NAT gave it on this one says nothing of that.
        ports = self._sa.host.settings.ports
        port = ports.encapsulated if path.encapsulated else ports.ike
        return replace(path, local=local, remote=remote, remote_port=port)

    def _found(self, paths: list[Path]) -> None:
        """These there are, the best first."""
        sa = self._sa
        self._others = tuple(paths)
        was_stranded, self.is_stranded = self.is_stranded, not paths
        if not paths:
            return  # the peer is asked nothing, and given up by nobody, until there is a path again
        if sa.path not in paths:
            self._go(paths[0])
        elif was_stranded:
            sa.requests.resend()
        elif paths[0] != sa.path and self.leads and sa.requests.is_idle:
            sa.requests.enqueue(self._moves.explore(sa, paths[0]))
        elif self.announced != self.own_addresses and not self.is_pending:
            self._tell(self._moves.announce)

    def _go(self, path: Path) -> None:
        """Take another path, and tell the peer."""
        sa = self._sa
        former, sa.path = sa.path, path
        self.changes += 1
        self.is_stranded, self.explored = False, None
        self._report(former)
        if not self.leads or path.remote == self.verified:
            sa.children.move()
        sa.requests.resend()
        if self.leads:
            self._update()
        else:
            self._tell(self._moves.announce)

    def _update(self) -> None:
        self.is_pending = True
        self._tell(self._moves.update)

    def _tell(self, make: Callable[[IkeSa], Exchange]) -> None:
        """Run one of the exchanges that go on by themselves while they are behind, unless it waits or runs already."""
        requests = self._sa.requests
        if self._telling.get(make) not in requests.waiting:
            exchange = self._telling[make] = make(self._sa)
            requests.enqueue(exchange, is_urgent=True)

    def _report(self, former: Path) -> None:
        sa = self._sa
        if not _same_ends(former, sa.path) or former.remote_port != sa.path.remote_port:
            sa.host.report(IkeSaMoved(sa.id, sa.connection_name or "", former, sa.path))


def _same_ends(one: Path, other: Path) -> bool:
    return (one.local, one.remote) == (other.local, other.remote)
