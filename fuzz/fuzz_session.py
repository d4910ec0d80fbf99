"""Two endpoints and everything that happens between them: datagrams are lost, repeated, late, changed on the way, and changed
by an end that seals them with its valid keys (RFC 7296 sections 2.1 to 2.5 and 2.21)."""

from __future__ import annotations

import random
from collections.abc import Callable

from caponier.errors import PeerError
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.mechanisms.negotiation.selectors import is_subset
from caponier.protocols.ike.messages.message import Message, decode_header, open_message, seal_message
from caponier.protocols.ike.messages.payloads import Payload
from caponier.protocols.ike.path import Datagram, NatKeepalive
from caponier.protocols.ike.v2.ike_sa import IkeSa
from fuzz.framing import seal_octets
from tests.exchange import test_model as model
from tests.exchange.town import Member, Town, Trouble
from tests.exchange.world import Weather

MOST = 48  #: steps of one input
SEED = 8  #: two members, no NAT, no rekeying by time


class Wire(Town):
    """A town of two, whose network does with each datagram what the input says.

    Args:
        fates: an octet for each of the next datagrams; afterwards all pass.
    """

    def __init__(self, fates: bytes) -> None:
        self.fates = list(reversed(fates))
        self.is_lied_to = False  #: whether an end has sealed what it should not
        self.posted = 0
        super().__init__(SEED, size=2)
        for member in self.members:
            member.gateway = None

    def send(self, sender: Member, datagram: Datagram | NatKeepalive) -> None:
        if isinstance(datagram, NatKeepalive) or not self.fates:
            super().send(sender, datagram)
            return
        fate = self.fates.pop()
        draw = random.Random(fate << 16 | len(datagram.octets))
        self.posted += 1
        match fate % 8:
            case 0:
                return
            case 1:
                copies = [datagram.octets] * 3
            case 2:
                copies = [_changed(datagram.octets, draw), datagram.octets]
            case 3:
                copies = [_changed(datagram.octets, draw)]
            case 4 | 5:
                self.is_lied_to = True
                copies = [_lie(self, sender, datagram.octets, draw)]
            case _:
                copies = [datagram.octets]
        before = self.weather
        self.weather = Weather(delay=(0.002, 0.02, 0.5, 4.0)[fate >> 3 & 3])
        for octets in copies:
            super().send(sender, Datagram(octets, datagram.path))
        self.weather = before


def _changed(octets: bytes, draw: random.Random) -> bytes:
    changed = bytearray(octets)
    at = draw.randrange(len(changed))
    match draw.randrange(4):
        case 0:
            changed[at] ^= 1 << draw.randrange(8)
        case 1:
            del changed[at:]
        case 2:
            changed[at : at + 4] = draw.choice((b"\0\0\0\0", b"\xff\xff\xff\xff"))
        case _:
            changed[at:at] = draw.randbytes(draw.randint(1, 40))
    return bytes(changed)


def _lie(town: Wire, sender: Member, octets: bytes, draw: random.Random) -> bytes:
    """The same message with other content, under the keys of its sender."""
    sa = _sa_of(sender, octets)
    if sa is None or sa.protection is None:
        return _changed(octets, draw)
    cipher = sa.protection._outbound  # noqa: SLF001 - the liar has the keys
    try:
        message = open_message(octets, cipher)
    except PeerError:
        return _changed(octets, draw)
    iv = (1 << 40 | town.posted).to_bytes(cipher.iv_length)
    return _otherwise(message, cipher, iv, draw)


def _otherwise(message: Message, cipher: MessageCipher, iv: bytes, draw: random.Random) -> bytes:
    """Its payloads in another number or order, or their octets changed."""
    payloads: list[Payload] = list(message.payloads)
    plain = seal_message(message.header, payloads, cipher, iv)
    if not payloads:
        return plain
    at = draw.randrange(len(payloads))
    match draw.randrange(4):
        case 0:
            del payloads[at]
        case 1:
            payloads.append(payloads[at])
        case 2:
            draw.shuffle(payloads)
        case _:
            content = cipher.open(plain[:32], plain[32:])
            content = content[: -1 - content[-1]]
            return seal_octets(message.header, plain[28], _changed(content, draw), cipher, iv)
    return seal_message(message.header, payloads, cipher, iv)


def _sa_of(sender: Member, octets: bytes) -> IkeSa | None:
    try:
        header = decode_header(octets)
    except PeerError:
        return None
    spi = header.spi_i if header.is_initiator else header.spi_r
    return next((sa for sa in sender.sas() if sa.local_spi == spi), None)


def _action(number: int) -> Callable[[Town, random.Random], None] | None:
    """Half of the octets are actions, the others a pause."""
    actions = list(model.ACTIONS)
    return actions[number // 2 % len(actions)] if number % 2 else None


def seeds() -> dict[str, bytes]:
    """What is done, a zero length octet's worth of it first; then the fates of datagrams."""
    every = bytes(range(1, 2 * len(model.ACTIONS), 2))
    found = {
        "calm": b"\x00",
        "every-action": bytes((len(every),)) + every + b"\x06" * 200,
        "rekeys-in-a-storm": bytes((12,)) + b"\x05\x07\x09\x0b" * 3 + bytes(range(200)),
    }
    for fate in range(8):
        found[f"handshake-{fate}"] = bytes((0, fate, 6, 6, 6))
        found[f"second-message-{fate}"] = bytes((0, 6, fate, 6, 6))
        found[f"auth-{fate}"] = bytes((0, 6, 6, fate, 6))
        found[f"auth-answer-{fate}"] = bytes((0, 6, 6, 6, fate))
        for number in range(4):
            found[f"every-action-{fate}-{number}"] = (
                bytes((len(every),)) + every + b"\x06" * (6 + number) + bytes((fate + 64 * number, 6, 6)) * 40
            )
    return found


def one(octets: bytes) -> None:
    """Nothing raises but what is refused to a person; no bug, no leak; whoever is let in has proven it and has what is agreed."""
    count = min(octets[0] if octets else 0, MOST)
    steps, fates = octets[1 : 1 + count], octets[1 + count : 400]
    town = Wire(fates)
    one_, other = town.members
    other.endpoint.initiate("host1-host2", other.path_to(one_), town.now)
    town.settle()
    town.run(1)
    for number, step in enumerate(steps):
        action = _action(step)
        if action is None:
            town.run((0.0, 0.05, 1.0, 30.0)[step >> 1 & 3])
            continue
        try:
            action(town, random.Random(step << 8 | number))
        except model.Idle:
            continue
        town.settle()
    town.fates.clear()
    for member in town.members:
        member.trouble = Trouble()
    model.heal(town)
    _require_order(town)


def _require_order(town: Wire) -> None:
    assert not model.bugs(town), model.bugs(town)
    for member in town.members:
        for sa in member.sas():
            assert sa.peer is not None, "an IKE SA without evidence"
        for event in member.host.events:
            assert repr(event)
        _require_policy(member)
    if town.is_lied_to:
        return  # who seals lies believes them itself: the two ends need not agree
    wrong = model.disagreements(town) + model.leaks(town)
    assert not wrong, wrong


def _require_policy(member: Member) -> None:
    """Whatever the peer says, a Child SA protects nothing but what is configured, and no SPI is lost."""
    for child in member.host.installed.values():
        policy = next(each for each in member.wanted[child.connection].children if each.name == child.name)
        assert is_subset(child.local, policy.local)
        assert is_subset(child.remote, policy.remote)
        assert child.mode is policy.mode
    assert member.host.spis == set(member.host.installed) | set(member.host.retired), "an SPI was lost"
