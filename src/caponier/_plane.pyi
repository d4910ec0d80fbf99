"""The Rust packet core (RFC 4303, RFC 3948). Numbers are host order; addresses are text."""

from typing import Final

__version__: Final[str]

class PlaneError(Exception):
    """The plane refused a call or the system refused the plane; the message says which and why."""

#: (protocol, start port, end port, first address, last address)
_Selector = tuple[int, int, int, str, str]

class Plane:
    """One TUN interface, its SAD and SPD, and the threads that carry packets between them and the sockets."""

    def __init__(self, *, interface: str, mark: int, workers: int = 1) -> None:
        """Create the TUN interface (down, without addresses). ``interface`` may hold %d.

        ``mark``: the fwmark of packets that the plane sends, so that rules can keep them out of the TUN. ``workers``: threads,
        each with a queue of the interface; the sockets of each kind are dealt out to them in the order of attaching.
        """
    @property
    def interface(self) -> str: ...
    def attach_udp(self, fd: int) -> None:
        """Send and receive ESP in UDP on a bound UDP socket (IPv4 or IPv6-only). The descriptor is duplicated."""
    def attach_raw(self, fd: int) -> None:
        """Send and receive ESP on a raw socket of protocol 50 (IPv4 or IPv6). The descriptor is duplicated."""
    def start(self) -> None: ...
    def close(self) -> None:
        """Stop the threads, remove the TUN, wipe all keys. May be called twice."""
    def install_inbound(
        self,
        *,
        spi: int,
        encryption: int,
        key_length: int,
        encryption_key: bytes,
        integrity: int,
        integrity_key: bytes,
        esn: bool = False,
        replay_window: int,
        local: list[_Selector],
        remote: list[_Selector],
        local_address: str,
        remote_address: str,
    ) -> None:
        """Add an inbound ESP tunnel-mode SA.

        ``encryption`` and ``integrity`` are transform ids of IKEv2 (types 1 and 3; integrity 0 for an AEAD);
        ``key_length`` bits without salt; ``encryption_key`` with the salt behind it. A packet that comes out
        must match ``remote`` by source and ``local`` by destination. ``esn``: whether sequence numbers have 64 bits
        (RFC 4304).
        """
    def install_outbound(
        self,
        *,
        spi: int,
        encryption: int,
        key_length: int,
        encryption_key: bytes,
        integrity: int,
        integrity_key: bytes,
        esn: bool = False,
        tfc: int = 0,
        local_address: str,
        local_port: int,
        remote_address: str,
        remote_port: int,
    ) -> int:
        """Add an outbound ESP tunnel-mode SA; returns its handle. Ports 0 and 0 mean raw ESP, else ESP in UDP.

        ``tfc``: octets up to which inner packets are padded (RFC 4303 section 2.7); 0 for not at all.
        """
    def move_outbound(
        self, handle: int, *, local_address: str, local_port: int, remote_address: str, remote_port: int
    ) -> None:
        """Send what an outbound SA seals elsewhere: the peer's NAT gave it another address or port."""
    def remove_inbound(self, spi: int) -> None: ...
    def remove_outbound(self, handle: int) -> None: ...
    def install_policy(
        self,
        *,
        policy: int,
        order: int,
        local: list[_Selector],
        remote: list[_Selector],
        action: str,
        outbound: int | None,
    ) -> None:
        """Add or replace the policy numbered ``policy``. The matching policy of lowest ``order`` decides.

        ``action``: "protect", or "discard". ``outbound``: handle of the SA that protects; None reports an
        acquire and drops.
        """
    def remove_policy(self, policy: int) -> None: ...
    def inbound_counters(self, spi: int) -> tuple[int, int, dict[str, int]]:
        """(packets, inner octets, drops by reason)."""
    def outbound_counters(self, handle: int) -> tuple[int, int, dict[str, int]]: ...
    def drops(self) -> dict[str, int]:
        """Packets dropped outside of any SA, by reason; ``queue-full`` and ``socket-full`` are what overran the workers."""
    def event_fd(self) -> int: ...
    def events(self) -> list[tuple[str, int]]:
        """("acquire", policy) | ("sequence-exhausted", handle) | ("port-failed", errno); drains the list."""

class Sealer:
    """One outbound SA by itself, without I/O: for tests and tools. Seals with sequence numbers from ``sequence``."""

    def __init__(
        self,
        *,
        spi: int,
        encryption: int,
        key_length: int,
        encryption_key: bytes,
        integrity: int,
        integrity_key: bytes,
        esn: bool = False,
        sequence: int = 1,
        tfc: int = 0,
    ) -> None: ...
    def seal(self, inner: bytes) -> bytes:
        """From an inner IP packet to an ESP packet (no outer IP, no UDP)."""

class Opener:
    """One inbound SA by itself, without I/O."""

    def __init__(
        self,
        *,
        spi: int,
        encryption: int,
        key_length: int,
        encryption_key: bytes,
        integrity: int,
        integrity_key: bytes,
        esn: bool = False,
        replay_window: int = 64,
    ) -> None: ...
    def open(self, esp: bytes) -> bytes:
        """From an ESP packet to the inner IP packet.

        Raises:
            PlaneError: named by the drop counter's name, such as "replayed" or "bad-icv".
        """

def modp_public(group: int, private: bytes) -> bytes:
    """g^x mod p of an IKE MODP group (transform type 4: 14, 15, 16), big-endian, as long as the prime. Constant time."""

def modp_shared(group: int, private: bytes, public: bytes) -> bytes:
    """y^x mod p. Raises ValueError where y fails the checks of RFC 6989 section 2.1."""
