"""Several endpoints, NATs, and a network between them that does what networks do, in simulated time: where the model tests
play (:mod:`tests.exchange.test_model`).

A member is a host of :mod:`tests.exchange.world` with an address, perhaps behind a NAT, and with an engine that may take its
time or refuse. Every two members have a connection, which has the same name on both sides. All that happens comes from the
town's seed.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import combinations

from caponier.errors import CaponierError, EngineError
from caponier.mechanisms.authentication.identity import parse_identity, parse_identity_pattern
from caponier.mechanisms.negotiation.proposals import parse_ike_proposal
from caponier.protocols.ike.effects import AllocateSpi, Effect, FindPaths, InstallChildSa
from caponier.protocols.ike.endpoint import Endpoint
from caponier.protocols.ike.path import Datagram, NatKeepalive, Path
from caponier.protocols.ike.policy import (
    ChildPolicy,
    Connection,
    Encapsulation,
    IpAddress,
    Lifetime,
    Local,
    Remote,
    Settings,
)
from caponier.protocols.ike.v2.ike_sa import IkeSa
from tests.exchange.world import ESP, IKE, Host, Weather, child, key

Place = tuple[IpAddress, int]  #: an address and a UDP port
ARCHIVE = 400  #: datagrams that may come once more, long after their time


@dataclass(frozen=True)
class Parcel:
    """A datagram on its way: both ends as the network sees them."""

    source: Place
    destination: Place
    encapsulated: bool
    octets: bytes


@dataclass
class Gateway:
    """The NAT before a member: one address outside, each port shifted; what came in by an older shift is lost."""

    address: IPv4Address
    shift: int = 10_000

    def move(self, draw: random.Random) -> None:
        """Forget all mappings, and perhaps get another address."""
        self.shift = 1_000 * draw.randint(5, 50)
        if draw.random() < 0.5:
            self.address = IPv4Address((203 << 24) + (113 << 8) + draw.randint(1, 254))


@dataclass
class Trouble:
    """What is wrong with a member's engine: its results come so many seconds later, and some of them are refusals."""

    slowness: float = 0.0
    refusals: float = 0.0


class Member:
    """A host with an address.

    Args:
        town: where it lives.
        number: 1 to 250; its address and its networks come from it.
        gateway: the NAT before it.
    """

    def __init__(self, town: Town, number: int, gateway: Gateway | None) -> None:
        self.town = town
        self.number = number
        self.gateway = gateway
        self.address = IPv4Address((192 << 24) + (2 << 8) + number)
        self.trouble = Trouble()
        self.wanted: dict[str, Connection] = {}  # what its operator has configured, by name
        self.peers: dict[str, Member] = {}  # by connection
        self.unfinished: deque[tuple[float, Effect, object]] = deque()
        self.start()

    @property
    def name(self) -> str:
        return f"host{self.number}"

    @property
    def endpoint(self) -> Endpoint:
        return self.host.endpoint

    def start(self) -> None:
        """Begin, or begin again with nothing but the configuration."""
        self.host = Host(self.town.random.getrandbits(64), self.town.settings)
        self.host.refuse = self._refuse
        self.unfinished.clear()
        for each in self.wanted.values():
            self.endpoint.add_connection(each)

    def configure(self, connection: Connection) -> None:
        self.wanted[connection.name] = connection
        self.endpoint.add_connection(connection)

    def sas(self) -> list[IkeSa]:
        return list(self.endpoint._sas.values())

    def path_to(self, peer: Member) -> Path:
        return Path(self.address, 500, peer.address, 500)

    def outside(self, port: int) -> Place:
        """Where others see what it sends from a port."""
        return (self.address, port) if self.gateway is None else (self.gateway.address, port + self.gateway.shift)

    def inside(self, place: Place) -> int | None:
        """Its port that is reached at a place; None where that is not its own, or no more."""
        port = next((port for port in (500, 4500) if self.outside(port) == place), None)
        return place[1] if port is None and self.gateway is None and place[0] == self.address else port

    def settle(self) -> None:
        """Take out of the endpoint what came out of it."""
        busy = True
        while busy:
            busy = False
            while (effect := self.endpoint.next_effect()) is not None:
                if isinstance(effect, FindPaths):
                    self.host.ways = [(self.address, remote) for remote in effect.remotes]
                result = self.host.perform(effect)
                at = self.town.now + self.town.random.uniform(0, self.trouble.slowness)
                self.unfinished.append((at, effect, result))
                busy = True
            busy |= self._finish_effects()
            for datagram in self.endpoint.datagrams_to_send():
                self.town.send(self, datagram)
                busy = True
        while (event := self.endpoint.next_event()) is not None:
            self.host.events.append(event)

    def next(self) -> float | None:
        instants = [self.endpoint.next_timeout(), min((at for at, _, _ in self.unfinished), default=None)]
        return min((each for each in instants if each is not None), default=None)

    def handle_timeout(self) -> None:
        at = self.endpoint.next_timeout()
        if at is not None and at <= self.town.now:
            self.endpoint.handle_timeout(self.town.now)
        self.settle()

    def _finish_effects(self) -> bool:
        due = [each for each in self.unfinished if each[0] <= self.town.now]
        for each in due:
            self.unfinished.remove(each)
            self.endpoint.complete(each[1], each[2], self.town.now)
        return bool(due)

    def _refuse(self, effect: Effect) -> CaponierError | None:
        is_refusable = isinstance(effect, AllocateSpi | InstallChildSa)
        if is_refusable and self.trouble.refusals and self.town.random.random() < self.trouble.refusals:
            return EngineError("no room")
        return None


class Town:
    """Members and what is on its way between them.

    Args:
        seed: of everything.
        size: how many members; the last one is behind a NAT.
        settings: of all endpoints.
    """

    def __init__(self, seed: int, size: int = 3, settings: Settings | None = None) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.settings = settings or Settings()
        self.weather = Weather()
        self.cuts: set[frozenset[int]] = set()  #: pairs of members that nothing passes between
        self.transit: list[tuple[float, int, Parcel]] = []
        self.archive: deque[Parcel] = deque(maxlen=ARCHIVE)
        self._count = 0
        gateway = Gateway(IPv4Address("203.0.113.9"))
        self.members = [Member(self, number, gateway if number == size else None) for number in range(1, size + 1)]
        for one, other in self.pairs():
            _introduce(one, other, self.random)

    def pairs(self) -> Iterator[tuple[Member, Member]]:
        return combinations(self.members, 2)

    def settle(self) -> None:
        for member in self.members:
            member.settle()

    def run(self, seconds: float, limit: int = 60_000) -> None:
        """Let time pass."""
        end = self.now + seconds
        for _ in range(limit):
            instant = self._next()
            if instant is None or instant > end:
                self.now = end
                return
            self.now = max(self.now, instant)
            self._step()
        raise AssertionError("the simulation does not come to rest")

    def send(self, sender: Member, datagram: Datagram | NatKeepalive) -> None:
        if isinstance(datagram, NatKeepalive):
            return
        path = datagram.path
        assert path.local == sender.address
        parcel = Parcel(
            sender.outside(path.local_port), (path.remote, path.remote_port), path.encapsulated, datagram.octets
        )
        self.archive.append(parcel)
        receiver = self._member_at(parcel.destination)
        is_cut = receiver is not None and frozenset((sender.number, receiver.number)) in self.cuts
        if is_cut or self.random.random() < self.weather.loss:
            return
        for _ in range(1 + (self.random.random() < self.weather.duplication)):
            self.post(parcel, self.random.uniform(0.001, self.weather.delay))

    def post(self, parcel: Parcel, delay: float) -> None:
        """Let a datagram arrive so many seconds from now."""
        self._count += 1
        heapq.heappush(self.transit, (self.now + delay, self._count, parcel))

    def _member_at(self, place: Place) -> Member | None:
        return next((each for each in self.members if each.inside(place) is not None), None)

    def _next(self) -> float | None:
        instants = [each.next() for each in self.members]
        instants += [self.transit[0][0]] if self.transit else []
        return min((each for each in instants if each is not None), default=None)

    def _step(self) -> None:
        while self.transit and self.transit[0][0] <= self.now:
            self._arrive(heapq.heappop(self.transit)[2])
        for member in self.members:
            member.handle_timeout()

    def _arrive(self, parcel: Parcel) -> None:
        receiver = self._member_at(parcel.destination)
        port = None if receiver is None else receiver.inside(parcel.destination)
        if receiver is None or port is None:
            return
        path = Path(receiver.address, port, *parcel.source, encapsulated=parcel.encapsulated)
        receiver.endpoint.receive_datagram(parcel.octets, path, self.now)
        receiver.settle()


def _introduce(one: Member, other: Member, draw: random.Random) -> None:
    """Give two members a connection with two Child SAs, of a kind that the seed says."""
    name = f"{one.name}-{other.name}"
    esp = draw.choice((ESP, ESP, f"{ESP}-x25519", "aes128-sha256-esn-noesn"))
    forced = Encapsulation.FORCED if draw.random() < 0.2 else Encapsulation.AUTO
    rekey = draw.choice((None, 120.0, 1000.0))
    lifetime = draw.choice((Lifetime(), Lifetime(soft_seconds=60.0, hard_seconds=90.0), Lifetime(hard_seconds=100.0)))
    for here, there in ((one, other), (other, one)):
        here.peers[name] = there
        connection = Connection(
            name=name,
            local=Local((here.address,), parse_identity(f"{here.name}.example.com"), key()),
            remote=Remote(
                () if there.gateway is not None else (there.address,),
                parse_identity_pattern(f"{there.name}.example.com"),
                key(),
            ),
            proposals=(parse_ike_proposal(IKE, 1),),
            children=_children(here, there, esp, lifetime),
            encapsulation=forced,
            liveness=20.0,
            rekey=rekey,
        )
        here.configure(replace(connection, rekey=None) if rekey == 120.0 and draw.random() < 0.5 else connection)


def _children(here: Member, there: Member, esp: str, lifetime: Lifetime) -> tuple[ChildPolicy, ...]:
    return tuple(
        replace(
            child(name, f"10.{base + here.number}.0.0/16", f"10.{base + there.number}.0.0/16", esp), lifetime=lifetime
        )
        for name, base in (("lan", 0), ("voice", 100))
    )
