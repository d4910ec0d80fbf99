"""Internal addresses for peers: pools, and who has which address (RFC 7296 sections 2.19 and 3.15.1).

Three rules. No two peers ever have one address. A peer that comes again gets the address that it had: what was given back
stays remembered for its holder until nothing else is free. And where a peer comes for the first time, its identity decides
where in the pool its address is looked for, so that after a restart, when all is forgotten, most find theirs again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from caponier.errors import InternalAddressFailure
from caponier.mechanisms.negotiation.selectors import ANY_PORTS, ANY_PROTOCOL, TrafficSelector

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

MOST_REMEMBERED = 65_536  #: addresses that nobody has and that are kept for who had them; ours, not the RFC's


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses of one family that are given to peers, and what these are told with them.

    Attributes:
        name: unique.
        first: first address to give.
        last: last one.
        prefix_length: of the network that the addresses are of, in bits.
        dns: DNS servers of either family; an address among them is not given away.
        nbns: NetBIOS name servers (WINS).
        subnets: networks behind us, of either family (RFC 7296 section 3.15.2).
    """

    name: str
    first: IpAddress
    last: IpAddress
    prefix_length: int
    dns: tuple[IpAddress, ...] = ()
    nbns: tuple[IPv4Address, ...] = ()
    subnets: tuple[IpNetwork, ...] = ()

    def __contains__(self, address: IpAddress) -> bool:
        return (
            address.version == self.version
            and int(self.first) <= int(address) <= int(self.last)
            and address not in (*self.dns, *self.nbns)
        )

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.first.version

    @property
    def size(self) -> int:
        """How many addresses it spans."""
        return int(self.last) - int(self.first) + 1

    @property
    def selector(self) -> TrafficSelector:
        """All packets of its addresses."""
        return TrafficSelector(ANY_PROTOCOL, *ANY_PORTS, self.first, self.last)

    def like(self, wanted: IpAddress) -> IpAddress | None:
        """The address of this pool that comes nearest to what a peer would like; None where none does.

        "The gateway attempts to use the interface identifier with some other prefix" (RFC 7296 section 3.15.3).
        """
        if wanted in self:
            return wanted
        if wanted.version != 6 or self.version != 6:
            return None
        bits = 128 - self.prefix_length
        identifier = int(wanted) & ((1 << bits) - 1)
        address = IPv6Address(int(self.first) >> bits << bits | identifier)
        return address if identifier and address in self else None

    def from_home(self, holder: bytes) -> Iterator[IpAddress]:
        """All addresses, beginning where the holder's own place is."""
        home = int.from_bytes(hashlib.sha256(holder).digest()) % self.size
        for step in range(self.size):
            address = self.first + (home + step) % self.size
            if address in self:
                yield address


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has an address.

    Attributes:
        identity: the peer's, as octets that are the same whenever it comes.
        place: address and port that it speaks from.
    """

    identity: bytes
    place: tuple[IpAddress, int]


@dataclass(slots=True)
class _Lease:
    holder: Holder
    count: int = 1  # IKE SAs of the holder that have it


class Leases:
    """Which peer has which address."""

    def __init__(self) -> None:
        self._held: dict[IpAddress, _Lease] = {}
        self._remembered: dict[IpAddress, bytes] = {}  # who had it last; the longest gone first
        self._former: dict[bytes, list[IpAddress]] = {}  # the same by identity; the longest gone first

    def lend(self, pools: Sequence[Pool], holder: Holder, wanted: IpAddress | None = None) -> IpAddress:
        """Give a peer an address; :meth:`give_back` ends that.

        An address that the same peer holds is lent to it once more where it asks for that very one from the very place
        where it is: so it keeps its address while it replaces its IKE SA by another. Anybody else that has its identity
        gets another address.

        Args:
            pools: where it may be from, in order of preference; at least one.
            holder: the peer.
            wanted: what it would like; None for any.

        Raises:
            InternalAddressFailure: all are held.
        """
        if wanted is not None:
            wanted = next((near for pool in pools if (near := pool.like(wanted)) is not None), None)
        lease = None if wanted is None else self._held.get(wanted)
        if wanted is not None and lease is not None and lease.holder == holder:
            lease.count += 1
            return wanted
        address = self._find(pools, holder.identity, wanted)
        self._forget(address)
        self._held[address] = _Lease(holder)
        return address

    def give_back(self, address: IpAddress) -> None:
        """One IKE SA less has this address."""
        lease = self._held.get(address)
        if lease is None:
            return
        lease.count -= 1
        if lease.count == 0:
            del self._held[address]
            self._remember(address, lease.holder.identity)

    def held(self, pool: Pool) -> int:
        """How many addresses of a pool are held."""
        return sum(address in pool for address in self._held)

    # -- the inside

    def _find(self, pools: Sequence[Pool], identity: bytes, wanted: IpAddress | None) -> IpAddress:
        own = [each for each in reversed(self._former.get(identity, [])) if any(each in pool for pool in pools)]
        if own:
            return wanted if wanted is not None and wanted in own else own[0]
        if wanted is not None and self._is_untouched(wanted):
            return wanted
        for pool in pools:
            for address in pool.from_home(identity):
                if self._is_untouched(address):
                    return address
        for address in self._remembered:  # nothing else is free: the one whose holder is gone for the longest time
            if any(address in pool for pool in pools):
                return address
        names = ", ".join(pool.name for pool in pools)
        raise InternalAddressFailure(
            f"no address is left in pool {names}", hint="enlarge it: pool.NAME.addresses", setting="pool"
        )

    def _is_untouched(self, address: IpAddress) -> bool:
        return address not in self._held and address not in self._remembered

    def _remember(self, address: IpAddress, identity: bytes) -> None:
        self._remembered[address] = identity
        self._former.setdefault(identity, []).append(address)
        if len(self._remembered) > MOST_REMEMBERED:
            self._forget(next(iter(self._remembered)))

    def _forget(self, address: IpAddress) -> None:
        identity = self._remembered.pop(address, None)
        if identity is None:
            return
        self._former[identity].remove(address)
        if not self._former[identity]:
            del self._former[identity]
