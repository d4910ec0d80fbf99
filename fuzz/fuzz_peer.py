"""An endpoint and a peer that has proven itself, and then sends any content in its requests (RFC 7296 section 2.21.3)."""

from __future__ import annotations

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.path import Path
from fuzz.framing import join, seal_octets, split
from tests.exchange.world import LEFT, RIGHT, World, up
from tests.wire.table import MESSAGES, ROWS

EXCHANGES = (
    ExchangeType.INFORMATIONAL,
    ExchangeType.CREATE_CHILD_SA,
    ExchangeType.IKE_AUTH,
    ExchangeType.IKE_SA_INIT,
    ExchangeType(43),
    ExchangeType(200),
)
MOST = 6  #: requests of one input


def _chain(*names: str) -> tuple[int, bytes]:
    """The payloads of these rows, as a chain: the first one's type, and the octets."""
    rows = [next(row for row in ROWS if row.name == name) for name in names]
    following = [*(row.payload.TYPE for row in rows[1:]), 0]
    octets = b"".join(
        bytes((next_type, 0)) + (4 + len(row.octets)).to_bytes(2) + row.octets
        for row, next_type in zip(rows, following, strict=True)
    )
    return int(rows[0].payload.TYPE), octets


def seeds() -> dict[str, bytes]:
    """Requests, each behind its length: exchange, first payload's type, chain."""
    first, octets = _chain("sa-esp-two-proposals", "nonce", "tsi-ipv4", "tsr-ipv6")
    found = {
        "empty": join([b"\x00\x00"]),
        "child": join([bytes((1, first)) + octets]),
        "response": join([bytes((0x80, 0))]),
    }
    for row in ROWS:
        kind, chain = _chain(row.name)
        found |= {f"{row.name}-{exchange}": join([bytes((exchange, kind)) + chain]) for exchange in range(3)}
    for message in MESSAGES:
        found[f"message-{message.name}"] = join([bytes((1, message.octets[16])) + message.octets[28:]])
    return found


def one(octets: bytes) -> None:
    """Nothing makes the endpoint raise; each request is answered or dropped; no SPI is lost."""
    world = up()
    (sa,) = world.left.endpoint._sas.values()  # noqa: SLF001 - the peer is played with the real keys
    cipher = sa.protector._outbound  # noqa: SLF001
    path = Path(RIGHT, 500, LEFT, 500)
    for number, piece in enumerate(split(octets, MOST)):
        if len(piece) < 2:
            continue
        (theirs,) = world.right.endpoint._sas.values() or (None,)  # noqa: SLF001
        if theirs is None:
            break
        header = Header(
            spi_i=sa.spi_i,
            spi_r=sa.spi_r,
            exchange=EXCHANGES[(piece[0] & 0x7F) % len(EXCHANGES)],
            is_initiator=True,
            is_response=bool(piece[0] & 0x80),
            message_id=theirs.responses._expected,  # noqa: SLF001
        )
        iv = (1 << 32 | number).to_bytes(cipher.iv_length)
        before = len(world.sent)
        world.deliver("right", seal_octets(header, piece[1], piece[2:], cipher, iv), path)
        assert sum(side == "right" for side, _, _ in world.sent[before:]) <= 2
    _end(world)


def _end(world: World) -> None:
    for event in world.right.events:
        assert repr(event)
    right = world.right
    assert right.spis == set(right.installed), "an SPI was lost"
    if not right.sas:
        assert not right.installed, "Child SAs outlive their IKE SA"
