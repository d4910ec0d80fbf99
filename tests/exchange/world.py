"""Two endpoints and a network between them, in simulated time: every octet and every instant comes from a seed."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from caponier.errors import CaponierError
from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust
from caponier.mechanisms.authentication.identity import parse_identity, parse_identity_pattern
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.mechanisms.negotiation.leases import Leases
from caponier.mechanisms.negotiation.proposals import parse_esp_proposal, parse_ike_proposal
from caponier.mechanisms.negotiation.selectors import parse_selector
from caponier.octets import Secret
from caponier.protocols.ike.effects import (
    AllocateSpi,
    ApplyAssignment,
    Assignment,
    ChildSa,
    CountReceived,
    Effect,
    FindPaths,
    InstallChildSa,
    LeaseAddress,
    MoveChildSa,
    ReleaseAddress,
    ReleaseSpi,
    RemoveChildSa,
    RetireChildSa,
    Sign,
    WithdrawAssignment,
)
from caponier.protocols.ike.endpoint import Endpoint
from caponier.protocols.ike.events import Event, IkeSaStatus, NegotiationFailed
from caponier.protocols.ike.path import Datagram, NatKeepalive, Path
from caponier.protocols.ike.policy import ChildPolicy, Connection, Encapsulation, IpAddress, Local, Remote, Settings

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
LEFT, RIGHT = ip_address("192.0.2.1"), ip_address("192.0.2.2")
IKE, ESP = "aes256gcm16-prfsha256-x25519", "aes256gcm16"
SECRET = b"a secret between two"


def key(secret: bytes = SECRET) -> PresharedKey:
    return PresharedKey(Secret(secret))


def child(name: str, local: str, remote: str, esp: str = ESP) -> ChildPolicy:
    return ChildPolicy(name, (parse_selector(local),), (parse_selector(remote),), (parse_esp_proposal(esp),))


def connection(
    side: str,
    *,
    ike: tuple[str, ...] = (IKE,),
    esp: str = ESP,
    credential: PresharedKey | CertificateCredential | None = None,
    requirement: PresharedKey | CertificateTrust | None = None,
    identity: str | None = None,
    peer: str | None = None,
    children: tuple[ChildPolicy, ...] | None = None,
    liveness: float | None = None,
    encapsulation: Encapsulation = Encapsulation.AUTO,
    anywhere: bool = False,
    mobike: bool = False,
) -> Connection:
    """The connection ``office`` as the left or the right side has it."""
    ours, theirs = (LEFT, RIGHT) if side == "left" else (RIGHT, LEFT)
    networks = ("10.1.0.0/16", "10.2.0.0/16") if side == "left" else ("10.2.0.0/16", "10.1.0.0/16")
    other = "right" if side == "left" else "left"
    return Connection(
        name="office",
        local=Local((ours,), parse_identity(identity or f"{side}.example.com"), credential or key()),
        remote=Remote(
            () if anywhere else (theirs,), parse_identity_pattern(peer or f"{other}.example.com"), requirement or key()
        ),
        proposals=tuple(parse_ike_proposal(text, number) for number, text in enumerate(ike, start=1)),
        children=children or (child("lan", *networks, esp),),
        encapsulation=encapsulation,
        liveness=liveness,
        rekey=None,
        mobike=mobike,
    )


class Host:
    """An endpoint with a data plane that only remembers."""

    def __init__(self, seed: int, settings: Settings) -> None:
        self.random = random.Random(seed)
        self.endpoint = Endpoint(settings, self.random.randbytes, lambda now: EPOCH + timedelta(seconds=now))
        self.events: list[Event] = []
        self.installed: dict[int, ChildSa] = {}
        self.retired: dict[int, ChildSa] = {}
        self.keys: dict[int, tuple[bytes, ...]] = {}  # of each Child SA, as they were when it was installed
        self.spis: set[int] = set()
        self.removed: list[int] = []
        self.moves: list[Path] = []
        #: between which addresses datagrams can travel, the best first; None for all that the configuration names
        self.ways: list[tuple[IpAddress, IpAddress]] | None = None
        self.received: Counter[int] = Counter()  # packets, by inbound SPI
        self.looks = 0  # how often they were counted
        self.leases = Leases()
        self.lent: Counter[IpAddress] = Counter()
        self.assignments: list[Assignment] = []
        self.refuse: Callable[[Effect], CaponierError | None] = lambda _: None

    def perform(self, effect: Effect) -> object:
        refusal = self.refuse(effect)
        if refusal is not None:
            return refusal
        match effect:
            case AllocateSpi():
                spi = self.random.randrange(256, 1 << 32)
                self.spis.add(spi)
                return spi
            case ReleaseSpi(_, spi):
                self.spis.remove(spi)
            case InstallChildSa(installed):
                self.installed[installed.spi_in] = installed
                pairs = (installed.keys_in, installed.keys_out)
                self.keys[installed.spi_in] = tuple(
                    secret.expose() for pair in pairs for secret in (pair.encryption, pair.integrity)
                )
            case RetireChildSa(_, spi_in):
                self.retired[spi_in] = self.installed.pop(spi_in)
            case RemoveChildSa(_, spi_in):
                del (self.installed if spi_in in self.installed else self.retired)[spi_in]
                self.spis.remove(spi_in)
                self.removed.append(spi_in)
            case MoveChildSa(_, spi_in, path):
                self.moves.append(path)
                self.installed[spi_in] = replace(self.installed[spi_in], path=path)
            case FindPaths(ours, remotes):
                every = [(each, remote) for remote in remotes for each in ours]
                return every if self.ways is None else [pair for pair in self.ways if pair[1] in remotes]
            case CountReceived(children):
                self.looks += 1
                return sum(self.received[spi_in] for _, spi_in in children if spi_in in self.installed)
            case LeaseAddress(pools, holder, wanted):
                try:
                    address = self.leases.lend(pools, holder, wanted)
                except CaponierError as error:
                    return error
                self.lent[address] += 1
                return address
            case ReleaseAddress(address):
                self.leases.give_back(address)
                self.lent[address] -= 1
            case ApplyAssignment(_, assignment):
                self.assignments.append(assignment)
            case WithdrawAssignment(_, assignment):
                self.assignments.remove(assignment)
            case Sign(private, scheme, octets):
                return private.sign(scheme, octets)
        return None

    @property
    def sas(self) -> tuple[IkeSaStatus, ...]:
        return self.endpoint.ike_sas()

    @property
    def failures(self) -> list[NegotiationFailed]:
        return [event for event in self.events if isinstance(event, NegotiationFailed)]

    def happened(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Weather:
    """What the network does to datagrams: probabilities, and seconds.

    Attributes:
        loss: of each datagram.
        duplication: of each that is not lost.
        delay: the longest; each datagram draws its own, so that they overtake each other.
    """

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.02


@dataclass
class World:
    """Left and right, and what is on its way between them."""

    seed: int = 1
    settings: Settings = field(default_factory=Settings)
    weather: Weather = field(default_factory=Weather)
    #: changes a datagram on its way, or swallows it
    middle: Callable[[str, bytes, Path], tuple[bytes, Path] | None] = lambda _side, octets, path: (octets, path)

    def __post_init__(self) -> None:
        self.now = 0.0
        self.random = random.Random(self.seed)
        self.left, self.right = Host(self.seed + 1, self.settings), Host(self.seed + 2, self.settings)
        self.transit: list[tuple[float, int, str, bytes, Path]] = []
        self.sent: list[tuple[str, bytes, Path]] = []
        self.keepalives = 0
        self._count = 0

    def connect(self, left: Connection, right: Connection | None) -> None:
        """Configure both sides and let the left one initiate."""
        self.left.endpoint.add_connection(left)
        if right is not None:
            self.right.endpoint.add_connection(right)
        self.initiate("left")

    def initiate(self, side: str) -> None:
        path = Path(LEFT, 500, RIGHT, 500) if side == "left" else Path(RIGHT, 500, LEFT, 500)
        self.host(side).endpoint.initiate("office", path, self.now)
        self.settle()

    def host(self, side: str) -> Host:
        return self.left if side == "left" else self.right

    def run(self, seconds: float, limit: int = 20_000) -> None:
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

    def deliver(self, side: str, octets: bytes, path: Path) -> None:
        """Let a datagram arrive at a side, from nowhere."""
        self.host(side).endpoint.receive_datagram(octets, path, self.now)
        self.settle()

    def settle(self) -> None:
        """Take out of both endpoints what came out of them."""
        for side in ("left", "right"):
            host = self.host(side)
            busy = True
            while busy:
                busy = False
                while (effect := host.endpoint.next_effect()) is not None:
                    host.endpoint.complete(effect, host.perform(effect), self.now)
                    busy = True
                for datagram in host.endpoint.datagrams_to_send():
                    self._send(side, datagram)
                    busy = True
            while (event := host.endpoint.next_event()) is not None:
                host.events.append(event)

    def _send(self, side: str, datagram: Datagram | NatKeepalive) -> None:
        if isinstance(datagram, NatKeepalive):
            self.keepalives += 1
            return
        self.sent.append((side, datagram.octets, datagram.path))
        changed = self.middle(side, datagram.octets, datagram.path)
        if changed is None or self.random.random() < self.weather.loss:
            return
        octets, path = changed
        arrival = replace(
            path, local=path.remote, local_port=path.remote_port, remote=path.local, remote_port=path.local_port
        )
        for _ in range(1 + (self.random.random() < self.weather.duplication)):
            self._count += 1
            at = self.now + self.random.uniform(0.001, self.weather.delay)
            other = "right" if side == "left" else "left"
            heapq.heappush(self.transit, (at, self._count, other, octets, arrival))

    def _next(self) -> float | None:
        instants = [self.left.endpoint.next_timeout(), self.right.endpoint.next_timeout()]
        instants += [self.transit[0][0]] if self.transit else []
        return min((instant for instant in instants if instant is not None), default=None)

    def _step(self) -> None:
        while self.transit and self.transit[0][0] <= self.now:
            _, _, side, octets, path = heapq.heappop(self.transit)
            self.host(side).endpoint.receive_datagram(octets, path, self.now)
        for host in (self.left, self.right):
            at = host.endpoint.next_timeout()
            if at is not None and at <= self.now:
                host.endpoint.handle_timeout(self.now)
        self.settle()


def up(**both: object) -> World:
    """A world whose tunnel is up."""
    world = World()
    world.connect(connection("left", **both), connection("right", **both))  # type: ignore[arg-type]
    world.run(1)
    assert_tunnel(world)
    return world


def assert_tunnel(world: World, children: int = 1) -> None:
    """Both sides have the same established IKE SA and the same Child SAs with the same keys."""
    (ours,), (theirs,) = world.left.sas, world.right.sas
    assert ours.id == theirs.id
    assert (ours.phase, theirs.phase) == ("established", "established")
    assert ours.suite == theirs.suite
    assert len(world.left.installed) == len(world.right.installed) == children
    for spi_in, mine in world.left.installed.items():
        other = world.right.installed[mine.spi_out]
        assert other.spi_out == spi_in
        assert (mine.local, mine.remote) == (other.remote, other.local)
        inbound, outbound = world.left.keys[spi_in][:2], world.left.keys[spi_in][2:]
        assert (outbound, inbound) == (world.right.keys[mine.spi_out][:2], world.right.keys[mine.spi_out][2:])
    for host in (world.left, world.right):
        assert host.spis == set(host.installed)


def source_nat(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
    """A NAT in front of the left side: 203.0.113.9, ports 10000 higher."""
    if side == "left":
        return octets, replace(path, local=ip_address("203.0.113.9"), local_port=path.local_port + 10_000)
    return octets, replace(path, remote=LEFT, remote_port=path.remote_port - 10_000)
