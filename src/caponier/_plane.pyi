"""The Rust packet core (RFC 4303, RFC 4302, RFC 3948). Numbers are host order; addresses are text."""

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
    def add_interface(self, name: str) -> tuple[int, str]:
        """Create another TUN interface (down, without addresses), also while the plane runs: its number and its name.

        ``name`` may hold %d. Call it in the network namespace of the first, whose number is 0.
        """
    def remove_interface(self, number: int) -> None:
        """Remove an interface that was added. Its policies and SAs stay, and carry nothing more."""
    def attach_udp(self, fd: int) -> None:
        """Send and receive ESP in UDP on a bound UDP socket (IPv4 or IPv6-only). The descriptor is duplicated."""
    def attach_raw(self, fd: int) -> None:
        """Use a raw socket (IPv4 or IPv6) of protocol 50 or 51, or of 255 (IPPROTO_RAW), through which packets leave that bring
        their own IP header: AH, and ESP in transport mode without UDP. The descriptor is duplicated.
        """
    def start(self) -> None: ...
    def close(self) -> None:
        """Stop the threads, remove the TUN, wipe all keys. May be called twice."""
    def install_inbound(
        self,
        *,
        spi: int,
        protocol: str = "esp",
        mode: str = "tunnel",
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
        remote_port: int = 0,
        interface: int = 0,
        nat: tuple[str, str] | None = None,
        ecn: bool = True,
        clamp: int = 0,
        lifetime: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> None:
        """Add an inbound SA. ``protocol``: "esp" or "ah"; ``mode``: "tunnel" or "transport".

        ``encryption`` and ``integrity`` are transform ids of IKEv2 (types 1 and 3; integrity 0 for an AEAD, encryption 0
        for AH); ``key_length`` bits without salt; ``encryption_key`` (AES-GMAC of AH: ``integrity_key``) with the salt behind
        it. A packet that comes out must match ``remote`` by source and ``local`` by destination, and in transport mode have
        the SA's addresses. ``esn``: whether sequence numbers have 64 bits (RFC 4304).

        ``nat``, transport mode through NAT: the addresses, source and destination, that the peer's checksums counted (RFC
        3948 section 3.1.2). ``ecn``: whether the ECN of the outer header is taken over (RFC 6040).
        ``lifetime``: soft octets, hard octets, soft packets, hard packets, 0 for no limit; of the packets that come out. A
        batch may overshoot. ``remote_port``: of an SA in UDP, to report packets from another address
        or port (RFC 7296 section 2.23); 0 not to. ``interface``: the number of the TUN that what comes out goes to.
        ``clamp``: octets of the IP packets that TCP's segments shall fit, by the MSS of SYNs (RFC 9293 section 3.7.1); 0 leaves
        it.
        """
    def install_outbound(
        self,
        *,
        spi: int,
        protocol: str = "esp",
        mode: str = "tunnel",
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
        dscp: int | None = None,
        ecn: bool = True,
        df: str = "copy",
        path_mtu: int = 0,
        clamp: int = 0,
        lifetime: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> int:
        """Add an outbound SA; returns its handle. Ports 0 and 0 mean right behind IP, else ESP in UDP.

        In transport mode the packets must have the SA's addresses themselves. ``tfc``, of ESP in tunnel mode: octets up to
        which inner packets are padded (RFC 4303 section 2.7); 0 for not at all. Of the outer header of tunnel mode: ``dscp``,
        None to copy that of the inner one, or 0 to 63; ``ecn``, False to clear it (RFC 6040 section 4.1);
        ``df``, "copy", "set" or "clear" (RFC 4301 section 8.1): with "clear" the system fragments what is too long for the
        path, and nothing is learned from ICMP. ``path_mtu``: octets of the outer IP packets that the path carries, at least
        576 (IPv4) or 1280 (IPv6); 0 for unknown. ``clamp`` and ``lifetime``: as of an inbound SA.

        What does not fit the path MTU, configured or learned, is cut into fragments (IPv4 without DF, tunnel mode), or dropped
        as "too-big" and its sender told by ICMP (RFC 4301 section 8.2.1).
        """
    def move_inbound(self, spi: int, *, protocol: str = "esp", remote_address: str, remote_port: int) -> None:
        """Tell where the peer of an inbound SA is now, so that packets from there are no ``peer-moved``."""
    def move_outbound(
        self, handle: int, *, local_address: str, local_port: int, remote_address: str, remote_port: int
    ) -> None:
        """Send what an outbound SA seals elsewhere: the peer's NAT gave it another address or port.

        In transport mode the packets' own addresses stay those that the SA was installed with.
        """
    def set_path_mtu(self, handle: int, path_mtu: int) -> None:
        """Tell the path MTU of an outbound SA, as in :meth:`install_outbound`. What was learned stays, where it is less."""
    def remove_inbound(self, spi: int, protocol: str = "esp") -> None: ...
    def remove_outbound(self, handle: int) -> None: ...
    def install_policy(
        self,
        *,
        policy: int,
        order: int,
        interface: int = 0,
        local: list[_Selector],
        remote: list[_Selector],
        action: str,
        outbound: int | None,
    ) -> None:
        """Add or replace the policy numbered ``policy``. The matching policy of lowest ``order`` decides.

        ``action``: "protect", "discard", or "bypass": sent as it is, through a raw socket of 255, with the mark that routes it
        past the TUN. ``outbound``: handle of the SA that protects; None
        reports an acquire, and the first packets wait for the SA: 16 and 64 KiB of each policy, for 30 seconds; what is lost
        of them is dropped as ``no-sa``. ``interface``: the number of the TUN whose packets it is for.
        """
    def remove_policy(self, policy: int) -> None: ...
    def inbound_counters(self, spi: int, protocol: str = "esp") -> tuple[int, int, dict[str, int]]:
        """(packets, inner octets, drops by reason)."""
    def outbound_counters(self, handle: int) -> tuple[int, int, dict[str, int]]: ...
    def drops(self) -> dict[str, int]:
        """Packets dropped outside of any SA, by reason; ``queue-full`` and ``socket-full`` are what overran the workers."""
    def bypassed(self) -> int:
        """Packets that left as they were, by policies that say "bypass"."""
    def audit_again(self) -> None:
        """Report dropped packets anew: each kind of drop of each SA is reported once until this is called."""
    def event_fd(self) -> int: ...
    def events(self) -> list[tuple[str, int, dict[str, str | int]]]:
        """What happened since the last call: kind, number, details.

        ("acquire", policy): a packet wants an SA. ("sequence-exhausted", handle). ("port-failed", errno).
        ("expiring", handle), ("expired", handle): the soft or the hard lifetime of an outbound SA is over, once each; after
        the latter it seals nothing more, and drops as ``expired``. Without ESN an SA is expiring too when 90 % of its sequence
        numbers are used. ("inbound-expiring", spi), ("inbound-expired", spi): the same of an inbound SA; details: protocol.

        ("peer-moved", spi): an authenticated, new packet came in UDP from another address or port than the SA's; details:
        protocol, address, port. Once until it is taken, or ``move_inbound`` tells the new one.

        ("dropped", number): an auditable event (RFC 4301 section 9); number: of an inbound SA the SPI, known or not, of an
        outbound one the handle, or 0. Details: direction ("in" or "out"), reason, and what is known of protocol, sequence,
        source, destination (of what came, or was to be sealed), and with ``selector-mismatch`` inner_source and
        inner_destination. Keepalives and dummies are no faults, and not reported.
        """

class Sealer:
    """One outbound SA by itself, without I/O: for tests and tools. Seals with sequence numbers from ``sequence``."""

    def __init__(
        self,
        *,
        spi: int,
        protocol: str = "esp",
        mode: str = "tunnel",
        encryption: int,
        key_length: int,
        encryption_key: bytes,
        integrity: int,
        integrity_key: bytes,
        esn: bool = False,
        sequence: int = 1,
        tfc: int = 0,
        local_address: str | None = None,
        remote_address: str | None = None,
    ) -> None:
        """``local_address``, ``remote_address``: of the outer header of AH in tunnel mode, which is sealed too."""
    def seal(self, packet: bytes) -> bytes:
        """From an IP packet to what is sent: of ESP in tunnel mode the ESP packet (no outer IP, no UDP), else the IP packet."""

class Opener:
    """One inbound SA by itself, without I/O."""

    def __init__(
        self,
        *,
        spi: int,
        protocol: str = "esp",
        mode: str = "tunnel",
        encryption: int,
        key_length: int,
        encryption_key: bytes,
        integrity: int,
        integrity_key: bytes,
        esn: bool = False,
        replay_window: int = 64,
    ) -> None: ...
    def open(self, packet: bytes) -> bytes:
        """From what :meth:`Sealer.seal` makes to the inner packet, in transport mode the packet as it was.

        Raises:
            PlaneError: named by the drop counter's name, such as "replayed" or "bad-icv".
        """

def modp_public(group: int, private: bytes) -> bytes:
    """g^x mod p of an IKE MODP group (transform type 4: 2, 5, 14 to 18, 22 to 24), big-endian, as long as the prime. Constant time."""

def modp_shared(group: int, private: bytes, public: bytes) -> bytes:
    """y^x mod p. Raises ValueError where y fails the checks of RFC 6989 sections 2.1 and 2.2."""

def mlkem_generate(method: int, seed: bytes) -> tuple[bytes, bytes]:
    """Encapsulation key and decapsulation key of ML-KEM (transform type 4: 35, 36, 37) of a seed of 64 octets."""

def mlkem_encapsulate(method: int, key: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and shared secret, by 32 random octets. Raises ValueError where the key fails FIPS 203 section 7.2."""

def mlkem_decapsulate(method: int, key: bytes, ciphertext: bytes) -> bytes:
    """The shared secret of a ciphertext, 32 octets; of a forged one a secret that nobody has."""
