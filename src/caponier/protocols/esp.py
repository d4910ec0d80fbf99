"""ESP and AH outside of the daemon: manually keyed SAs (RFC 4301 section 4.5.1) on the packet core that carries the traffic.

The transforms of RFC 4303 and RFC 4302 are in Rust. Here is their Python face: what an SA needs, and the two ends of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Literal, Self, TypedDict

from caponier._plane import Opener, PlaneError, Sealer
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import ConfigError, EngineError
from caponier.mechanisms.algorithms.packets import integrity_key_octets, packet_cipher
from caponier.mechanisms.algorithms.suites import ChildSuite
from caponier.octets import Reader, Secret
from caponier.protocols import ah

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
        source: the outer address that it comes from; None where that is not known.
    """

    spi: int
    suite: ChildSuite
    encryption_key: Secret
    integrity_key: Secret
    is_transport: bool = False
    destination: IpAddress | None = None
    source: IpAddress | None = None

    @property
    def text(self) -> str:
        """Its name in messages: ``ESP d6fec5af``."""
        return f"{self.suite.protocol.name} {self.spi:08x}"

    @property
    def is_bare(self) -> bool:
        """Whether nothing in front of its header concerns it: ESP in tunnel mode.

        AH covers the IP header (RFC 4302 section 3.3.3.1), and transport mode keeps it (RFC 4301 section 4.1).
        """
        return self.suite.protocol == ProtocolId.ESP and not self.is_transport


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
    protocol: Literal["esp", "ah"]
    mode: Literal["tunnel", "transport"]
    encryption: int
    key_length: int
    encryption_key: bytes
    integrity: int
    integrity_key: bytes
    esn: bool


def _parameters(sa: ManualSa) -> _Parameters:
    """An SA as the packet core takes it; the only place that knows how."""
    suite = sa.suite
    return {
        "spi": sa.spi,
        "protocol": "ah" if suite.protocol == ProtocolId.AH else "esp",
        "mode": "transport" if sa.is_transport else "tunnel",
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
        ConfigError: the packet core does not take this SA; or it is of AH in tunnel mode, which covers the outer header
            too (RFC 4302 section 3.1.2), and its ends are not known.
    """
    is_ah_tunnel = sa.suite.protocol == ProtocolId.AH and not sa.is_transport
    if is_ah_tunnel and (sa.source is None or sa.destination is None):
        hint = 'add source = "ADDRESS" and destination = "ADDRESS"'
        raise ConfigError(
            f"{sa.text}: AH in tunnel mode seals the outer header too, and so needs its addresses", hint=hint
        )
    source, destination = (str(sa.source), str(sa.destination)) if is_ah_tunnel else (None, None)
    try:
        return Sealer(**_parameters(sa), sequence=sequence, local_address=source, remote_address=destination)
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
    """From an IP packet to what is sent for it: of ESP in tunnel mode the ESP packet, otherwise all of the IP packet.

    Raises:
        EngineError: it is no IP packet, a fragment in transport mode, or the SA has no sequence number left.
    """
    try:
        return end.seal(inner)
    except PlaneError as error:
        why = {
            "malformed-inner": "no IP packet with consistent lengths",
            "sequence-exhausted": "no sequence number is left (RFC 4303 section 3.3.3)",
            "fragment": "transport mode is for whole datagrams (RFC 4303 section 3.3.4)",
            "too-big": "longer than an IP packet can be",
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

    @classmethod
    def of(cls, protocol: ProtocolId, r: Reader) -> Self:
        """Read the same of a packet of either protocol.

        Raises:
            WireError: it is not all there.
        """
        if protocol == ProtocolId.AH:
            header = ah.Header.decode(r)
            return cls(header.spi, header.sequence)
        return cls.decode(r)


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
            octets: of ESP in tunnel mode the packet from the SPI on, otherwise all of the IP packet that holds it.

        Returns:
            OK and the inner IP packet, in transport mode the packet as it was; or the name of the drop and nothing.
        """
        try:
            return OK, self._openers[sa].open(octets)
        except PlaneError as error:
            return str(error), b""
