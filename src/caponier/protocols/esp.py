"""ESP outside of the daemon: manually keyed SAs (RFC 4301 section 4.5.1) on the packet core that carries the traffic.

The transforms of RFC 4303 are in Rust. Here is their Python face: what an SA needs, and the two ends of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Self, TypedDict

from caponier._plane import Opener, PlaneError, Sealer
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import ConfigError, EngineError, WireError
from caponier.mechanisms.algorithms.packets import integrity_key_octets, packet_cipher
from caponier.mechanisms.algorithms.suites import ChildSuite
from caponier.octets import Reader, Secret

IpAddress = IPv4Address | IPv6Address

FIRST_SPI = 256  #: RFC 4303 section 2.1: smaller ones are reserved
LAST_SPI = 0xFFFF_FFFF
DEFAULT_WINDOW, SMALLEST_WINDOW, LARGEST_WINDOW = 64, 32, 4096  #: packets (RFC 4303 section 3.4.3)

OK = "ok"  #: the verdict on a packet that was opened

#: Why a packet is not opened, by the names of the data plane's drop counters.
VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "unknown-spi": "no key is given for this SPI (RFC 4303 section 3.4.2)",
        "truncated": "too short for the header, IV and ICV of its SA (RFC 4303 section 2)",
        "malformed": "the IP header or AH is not one, or AH's length is not that of the SA (RFC 4302 section 2.2)",
        "fragment": "a fragment; reassembly comes first (RFC 4303 section 3.4.1, RFC 4302 section 3.4.1)",
        "bad-icv": "the integrity check failed: changed on the way, or sealed with another key (RFC 4303 section 3.4.4)",
        "replayed": "this sequence number came before (RFC 4303 section 3.4.3)",
        "too-old": "left of the replay window, or the sequence number is 0 (RFC 4303 section 3.4.3)",
        "bad-padding": "authentic, but the padding is not 1, 2, 3, ... (RFC 4303 section 2.4)",
        "bad-next-header": "authentic, but what it carries is not of the SA's mode (RFC 4303 section 2.6)",
        "malformed-inner": "authentic, but what it carries is no IP packet with consistent lengths",
        "dummy": "authentic; a dummy that only hides how much is said (RFC 4303 section 2.6)",
    }
)

#: Verdicts on packets whose ICV was right, so that their sequence number counts as received.
AUTHENTIC = frozenset({OK, "bad-padding", "bad-next-header", "malformed-inner", "dummy"})


@dataclass(frozen=True, slots=True, eq=False)
class ManualSa:
    """A manually keyed SA: one direction (RFC 4301 sections 4.1 and 4.5.1).

    Attributes:
        spi: host order.
        suite: protocol, algorithms, width of the sequence numbers.
        encryption_key: with the salt behind it, where the cipher has one; empty for none.
        integrity_key: empty where the cipher protects integrity itself.
        is_transport: transport mode instead of tunnel mode.
        destination: the outer address to which it leads; None for whichever.
    """

    spi: int
    suite: ChildSuite
    encryption_key: Secret
    integrity_key: Secret
    is_transport: bool = False
    destination: IpAddress | None = None

    @property
    def text(self) -> str:
        """Its name in messages: ``ESP d6fec5af``."""
        return f"{self.suite.protocol.name} {self.spi:08x}"


def key_octets(suite: ChildSuite) -> tuple[int, int, int]:
    """Octets of the encryption key with its salt, of the salt alone, and of the integrity key.

    Raises:
        ConfigError: an algorithm that the packet core does not have.
    """
    encryption = salt = 0
    if suite.encryption is not None:
        cipher = packet_cipher(suite.encryption)
        encryption, salt = cipher.key_octets(suite.key_length), cipher.salt_length
    return encryption, salt, 0 if suite.integrity is None else integrity_key_octets(suite.integrity)


class _Parameters(TypedDict):
    spi: int
    encryption: int
    key_length: int
    encryption_key: bytes
    integrity: int
    integrity_key: bytes
    esn: bool


def _parameters(sa: ManualSa) -> _Parameters:
    """An SA as the packet core takes it; the only place that knows how."""
    suite = sa.suite
    if suite.protocol != ProtocolId.ESP:
        raise ConfigError("the packet core does not open AH by itself yet", setting="protocol")
    if sa.is_transport:
        raise ConfigError("the packet core does not open transport mode by itself yet", setting="mode")
    return {
        "spi": sa.spi,
        "encryption": 0 if suite.encryption is None else int(suite.encryption),
        "key_length": suite.key_length or 0,
        "encryption_key": sa.encryption_key.expose(),
        "integrity": 0 if suite.integrity is None else int(suite.integrity),
        "integrity_key": sa.integrity_key.expose(),
        "esn": suite.esn,
    }


def sealer(sa: ManualSa, sequence: int = 1) -> Sealer:
    """The sending end of an SA.

    Args:
        sa: the SA.
        sequence: number of the first packet.

    Raises:
        ConfigError: the packet core does not take this SA.
    """
    try:
        return Sealer(**_parameters(sa), sequence=sequence)
    except PlaneError as error:
        raise ConfigError(f"{sa.text}: {error}") from None


def opener(sa: ManualSa, replay_window: int = DEFAULT_WINDOW) -> Opener:
    """The receiving end of an SA.

    Args:
        sa: the SA.
        replay_window: packets.

    Raises:
        ConfigError: the packet core does not take this SA.
    """
    try:
        return Opener(**_parameters(sa), replay_window=replay_window)
    except PlaneError as error:
        raise ConfigError(f"{sa.text}: {error}") from None


def seal(end: Sealer, inner: bytes) -> bytes:
    """From an IP packet to an ESP packet.

    Raises:
        EngineError: it is no IP packet, or the SA has no sequence number left.
    """
    try:
        return end.seal(inner)
    except PlaneError as error:
        why = {
            "malformed-inner": "no IP packet with consistent lengths",
            "sequence-exhausted": "no sequence number is left (RFC 4303 section 3.3.3)",
        }
        raise EngineError(f"{error}: {why.get(str(error), 'refused')}") from None


@dataclass(frozen=True, slots=True)
class Header:
    """What everybody can read of an ESP packet (RFC 4303 section 2).

    ::

        |               Security Parameters Index (SPI)                 |
        |                      Sequence Number                          |

    Attributes:
        spi: host order.
        sequence: the lower 32 bits.
    """

    spi: int
    sequence: int

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read a header.

        Raises:
            WireError: fewer than 8 octets.
        """
        return cls(r.u32("SPI"), r.u32("sequence number"))


class InboundSas:
    """The inbound half of a SAD: finds the SA of a packet, and opens it (RFC 4301 section 4.1).

    Args:
        sas: no two of one protocol, SPI and destination.
        replay_window: of each, in packets.

    Raises:
        ConfigError: the packet core does not take one of them.
    """

    def __init__(self, sas: Iterable[ManualSa], replay_window: int = DEFAULT_WINDOW) -> None:
        self._openers = {sa: opener(sa, replay_window) for sa in sas}
        self._sas = {(sa.suite.protocol, sa.spi, sa.destination): sa for sa in self._openers}

    def __iter__(self) -> Iterator[ManualSa]:
        return iter(self._openers)

    def find(self, protocol: ProtocolId, spi: int, destination: IpAddress | None) -> ManualSa | None:
        """The SA of an SPI: one for this destination before one for whichever.

        Args:
            protocol: ESP or AH.
            spi: host order.
            destination: the packet's outer address; None where it is not known.
        """
        return self._sas.get((protocol, spi, destination)) or self._sas.get((protocol, spi, None))

    def open(self, sa: ManualSa, octets: bytes) -> tuple[str, bytes]:
        """Open a packet of an SA of these.

        Args:
            sa: as :meth:`find` gave it.
            octets: the packet, without outer headers.

        Returns:
            OK and the inner IP packet, or the name of the drop and nothing.
        """
        try:
            return OK, self._openers[sa].open(octets)
        except PlaneError as error:
            return str(error), b""


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of a packet by itself.

    Attributes:
        header: None where not even that is there.
        verdict: OK, or a key of :data:`VERDICTS`.
        inner: the inner IP packet; empty unless the verdict is OK.
    """

    header: Header | None
    verdict: str
    inner: bytes


def open_alone(sas: InboundSas, octets: bytes) -> Opened:
    """Open an ESP packet of which nothing is known but its octets, from its SPI on."""
    try:
        header = Header.decode(Reader(octets, "ESP packet"))
    except WireError:
        return Opened(None, "truncated", b"")
    sa = sas.find(ProtocolId.ESP, header.spi, None)
    verdict, inner = ("unknown-spi", b"") if sa is None else sas.open(sa, octets)
    return Opened(header, verdict, inner)
