"""From tables to policy: what the values of a configuration mean to the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from caponier.daemon.config.attempts import Attempts, Complaints
from caponier.daemon.config.compose_addresses import compose_internal
from caponier.daemon.config.compose_child import compose_child, compose_proposals
from caponier.daemon.config.compose_quantum import compose_ppk, compose_quantum_safe
from caponier.daemon.config.schema import ConnectionTable, DaemonTable, RetransmissionTable
from caponier.daemon.config.secrets import read_file, read_private_file, read_secret
from caponier.errors import ConfigError
from caponier.mechanisms.authentication.certificates import (
    CertificateCredential,
    CertificateTrust,
    load_credential,
    load_trust,
)
from caponier.mechanisms.authentication.identity import (
    Identity,
    IdentityPattern,
    address_identity,
    parse_identity,
    parse_identity_pattern,
)
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.mechanisms.negotiation.leases import Pool
from caponier.mechanisms.negotiation.proposals import DEFAULT_IKE_PROPOSALS, parse_ike_proposal
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.protocols.ike.policy import (
    Attachment,
    ChildPolicy,
    Connection,
    Encapsulation,
    Local,
    Ports,
    Remote,
    Retransmission,
    Settings,
    Start,
    WhileDown,
)

IpAddress = IPv4Address | IPv6Address
LEAST_REAUTH = 10  #: seconds
LONGEST_PATIENCE = 3600  #: seconds; who waits longer for an answer has no tunnel and does not know it


def compose_settings(daemon: DaemonTable, complaints: Complaints) -> Settings:
    """The core's settings."""
    if daemon.port == daemon.nat_port:
        why = f"UDP port {daemon.port} is daemon.port already; ESP in UDP needs one that it shares with nobody"
        complaints.add(("daemon", "nat_port"), ConfigError(why, hint="the usual ones are 500 and 4500"))
    retransmission = _retransmission(daemon.retransmission, complaints)
    return Settings(retransmission=retransmission, ports=Ports(ike=daemon.port, encapsulated=daemon.nat_port))


def _retransmission(table: RetransmissionTable | None, complaints: Complaints) -> Retransmission:
    if table is None:
        return Retransmission()
    pattern = Retransmission(table.first, table.factor, table.attempts)
    if pattern.patience > LONGEST_PATIENCE:
        why = f"a silent peer would be given up after {pattern.patience:.0f} seconds, {LONGEST_PATIENCE} are allowed"
        complaints.add(("daemon", "retransmission"), ConfigError(why, hint="take fewer attempts or a smaller factor"))
    return pattern


def compose_connection(
    name: str, table: ConnectionTable, directory: Path, pools: Mapping[str, Pool], complaints: Complaints
) -> Connection | None:
    """One connection; None when something is wrong with it, which ``complaints`` then tell."""
    composer = _Composer(("connection", name), table, directory, pools, complaints)
    before = len(complaints.found)
    connection = composer.connection(name)
    return connection if len(complaints.found) == before else None


class _Composer:
    def __init__(
        self,
        key: tuple[str, ...],
        table: ConnectionTable,
        directory: Path,
        pools: Mapping[str, Pool],
        complaints: Complaints,
    ) -> None:
        self._attempts = Attempts(key, complaints)
        self._internal = compose_internal(self._attempts, table, pools)
        self._table = table
        self._directory = directory

    def connection(self, name: str) -> Connection | None:
        table = self._table
        self._attempts.name(name)
        local, remote = self._local(), self._remote()
        proposals = compose_proposals(
            self._attempts, table.proposals, parse_ike_proposal, DEFAULT_IKE_PROPOSALS, allow_weak=table.allow_weak
        )
        proposals = compose_quantum_safe(self._attempts, table, proposals)
        ppk = compose_ppk(self._attempts, table, self._directory)
        children = self._children(local, remote)
        self._check_start(remote)
        if local is None or remote is None:
            return None
        return Connection(
            name=name,
            local=local,
            remote=remote,
            proposals=proposals,
            children=children,
            start=Start(table.start),
            while_down=self._while_down(),
            encapsulation=Encapsulation(table.encapsulation),
            liveness=table.liveness or None,
            rekey=table.rekey_time or None,
            mobike=table.mobike,
            nat_keepalive=table.nat_keepalive or None,
            ppk=ppk,
            reauth=self._reauth(),
            fragment_size=table.fragment_size if table.fragmentation == "auto" else None,
            attachment=Attachment(table.interface, table.interface is None if table.routes is None else table.routes),
            virtual_ip=self._internal.wanted,
            takes_dns=table.dns == "system",
            pools=self._internal.pools,
            tells_version=table.tell_version,
        )

    # -- the two ends

    def _local(self) -> Local | None:
        table = self._table.local
        addresses = self._addresses(("local", "address"), table.address)
        identity = self._local_identity(addresses)
        if identity is None:
            return None
        credential = self._credential(identity)
        return None if credential is None else Local(addresses, identity, credential)

    def _local_identity(self, addresses: tuple[IpAddress, ...]) -> Identity | None:
        text = self._table.local.id
        if text is not None:
            return self._attempts.make(("local", "id"), lambda: parse_identity(text))
        if addresses:
            return address_identity(addresses[0])
        self._attempts.refuse(("local",), "who are we? Neither id nor address is given", 'add id = "gw.example.com"')
        return None

    def _credential(self, identity: Identity) -> PresharedKey | CertificateCredential | None:
        table = self._table.local
        if table.auth == "psk":
            return self._preshared_key(("local", "secret"), table.secret)
        certificate, key = table.certificate, table.key
        if certificate is None or key is None:
            lacking = "certificate" if certificate is None else "key"
            self._attempts.refuse(("local",), f'auth = "certificate" needs {lacking}', f'add {lacking} = "PATH.pem"')
            return None
        chain = self._attempts.make(("local", "certificate"), lambda: read_file(certificate, self._directory))
        private = self._attempts.make(("local", "key"), lambda: read_private_file(key, self._directory))
        if chain is None or private is None:
            return None
        return self._attempts.make(("local", "certificate"), lambda: load_credential(chain, private, identity))

    def _preshared_key(self, key: tuple[str, ...], text: str | None) -> PresharedKey | None:
        if text is None:
            self._attempts.refuse(key[:1], 'auth = "psk" needs secret', 'add secret = "file:PATH"')
            return None
        return self._attempts.make(key, lambda: PresharedKey(read_secret(text, self._directory)))

    def _remote(self) -> Remote | None:
        table = self._table.remote
        addresses = self._addresses(("remote", "address"), table.address)
        pattern = self._remote_identity(addresses)
        requirement = self._requirement()
        if pattern is None or requirement is None:
            return None
        return Remote(addresses, pattern, requirement)

    def _remote_identity(self, addresses: tuple[IpAddress, ...]) -> IdentityPattern | None:
        text = self._table.remote.id
        if text is not None:
            return self._attempts.make(("remote", "id"), lambda: parse_identity_pattern(text))
        if addresses:
            identity = address_identity(addresses[0])
            return IdentityPattern(identity.text, identity)
        self._attempts.refuse(
            ("remote",),
            "who is the peer? Neither id nor address is given",
            'add id = "gw.example.com", or "%any"',
        )
        return None

    def _requirement(self) -> PresharedKey | CertificateTrust | None:
        table, local = self._table.remote, self._table.local
        if (table.auth or local.auth) == "psk":
            key = ("remote", "secret") if table.secret is not None else ("local", "secret")
            text = table.secret if table.secret is not None else local.secret
            if text is None and local.auth == "psk":
                return None  # the local end complains already
            return self._preshared_key(key, text)
        ca = table.ca
        if ca is None:
            self._attempts.refuse(("remote",), 'auth = "certificate" needs ca', 'add ca = "PATH.pem"')
            return None
        return self._attempts.make(("remote", "ca"), lambda: load_trust(read_file(ca, self._directory)))

    def _addresses(self, key: tuple[str, ...], texts: Iterable[str]) -> tuple[IpAddress, ...]:
        wanted = [text for text in texts if text != "%any"]
        return self._attempts.each(key, wanted, _parse_address)

    def _check_start(self, remote: Remote | None) -> None:
        if remote is not None and not remote.addresses and self._table.start != "manual":
            why = f'start = "{self._table.start}" needs to know where the peer is, and remote.address says anywhere'
            self._attempts.refuse(("start",), why, 'set remote.address, or start = "manual" and let the peer connect')

    def _reauth(self) -> float | None:
        """Each time costs a signature on both sides, and needs time to be tried again when it fails."""
        seconds = self._table.reauth
        if 0 < seconds < LEAST_REAUTH:
            why = f"every {seconds:g} seconds is too often, {LEAST_REAUTH} are allowed"
            self._attempts.refuse(("reauth",), why, 'usual: reauth = "8h"')
        return seconds or None

    def _while_down(self) -> WhileDown:
        """Whoever wants a connection to be up wants no packet of it in clear; by hand, the person decides when."""
        table = self._table
        if table.while_down is None:
            return WhileDown.PASS if table.start == "manual" else WhileDown.DISCARD
        if table.while_down == "pass" and table.start == "on-demand":
            why = 'start = "on-demand" holds packets back until there is an SA, and while_down = "pass" lets them go'
            self._attempts.refuse(("while_down",), why, "leave while_down out")
        return WhileDown(table.while_down)

    # -- children

    def _children(self, local: Local | None, remote: Remote | None) -> tuple[ChildPolicy, ...]:
        ours, theirs = local.addresses if local else (), remote.addresses if remote else ()
        children = tuple(
            compose_child(self._attempts.within("child", name), name, table, self._table, ours, theirs, self._internal)
            for name, table in self._table.child.items()
        )
        self._check_different(children)
        return children

    def _check_different(self, children: Iterable[ChildPolicy]) -> None:
        """Of two children for the same networks only the first would ever carry anything."""
        seen: dict[tuple[frozenset[TrafficSelector], frozenset[TrafficSelector]], str] = {}
        for child in children:
            networks = frozenset(child.local), frozenset(child.remote)
            other = seen.setdefault(networks, child.name)
            if other != child.name and all(networks):
                why = f"the same networks as child {other}: packets cannot be told apart"
                self._attempts.refuse(("child", child.name), why, "remove one of the two")


def _parse_address(text: str) -> IpAddress:
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no IP address", hint='write it as "192.0.2.1" or "2001:db8::1"; "%any" for anywhere'
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise ConfigError(f"{text} is no host's address", hint='"%any", or no address at all, stands for anywhere')
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ConfigError(f"{text}: zones are not supported", hint="use an address of global or private scope")
    return address
