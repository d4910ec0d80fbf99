"""From tables to policy: what the values of a configuration mean to the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeVar

from caponier.daemon.config.schema import ChildTable, ConnectionTable, DaemonTable
from caponier.daemon.config.secrets import read_file, read_private_file, read_secret
from caponier.doi.ikev2 import ProtocolId, TransformType
from caponier.errors import ConfigError
from caponier.mechanisms.algorithms.catalog import is_implemented
from caponier.mechanisms.algorithms.packets import carries
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
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_ESP_PROPOSALS,
    DEFAULT_IKE_PROPOSALS,
    Proposal,
    Transform,
    parse_esp_proposal,
    parse_ike_proposal,
    weak_algorithms,
)
from caponier.mechanisms.negotiation.selectors import TrafficSelector, parse_selector
from caponier.mechanisms.negotiation.spelling import keyword_of
from caponier.protocols.ike.policy import (
    ChildPolicy,
    Connection,
    Encapsulation,
    Local,
    Mode,
    Ports,
    Remote,
    Settings,
    Start,
    WhileDown,
)

IpAddress = IPv4Address | IPv6Address
T = TypeVar("T")


class Complaints:
    """Collects what is wrong, by key, so that one run tells all of it."""

    def __init__(self) -> None:
        self.found: list[tuple[tuple[str, ...], ConfigError]] = []

    def add(self, key: tuple[str, ...], error: ConfigError) -> None:
        """Something is wrong with the value of this key."""
        self.found.append((key, error))


def compose_settings(daemon: DaemonTable, complaints: Complaints) -> Settings:
    """The core's settings."""
    if daemon.port == daemon.nat_port:
        why = f"UDP port {daemon.port} is daemon.port already; ESP in UDP needs one that it shares with nobody"
        complaints.add(("daemon", "nat_port"), ConfigError(why, hint="the usual ones are 500 and 4500"))
    return Settings(ports=Ports(ike=daemon.port, encapsulated=daemon.nat_port))


def compose_connection(name: str, table: ConnectionTable, directory: Path, complaints: Complaints) -> Connection | None:
    """One connection; None when something is wrong with it, which ``complaints`` then tell."""
    composer = _Composer(("connection", name), table, directory, complaints)
    before = len(complaints.found)
    connection = composer.connection(name)
    return connection if len(complaints.found) == before else None


class _Composer:
    def __init__(self, key: tuple[str, ...], table: ConnectionTable, directory: Path, complaints: Complaints) -> None:
        self._key = key
        self._table = table
        self._directory = directory
        self._complaints = complaints

    def connection(self, name: str) -> Connection | None:
        table = self._table
        self._check_name((), name)
        local, remote = self._local(), self._remote()
        proposals = self._proposals(("proposals",), table.proposals, parse_ike_proposal, DEFAULT_IKE_PROPOSALS)
        children = [self._child(child, entry) for child, entry in table.child.items()]
        self._check_different(children)
        self._check_start(remote)
        if local is None or remote is None:
            return None
        return Connection(
            name=name,
            local=local,
            remote=remote,
            proposals=proposals,
            children=tuple(children),
            start=Start(table.start),
            while_down=self._while_down(),
            encapsulation=Encapsulation(table.encapsulation),
            liveness=table.liveness or None,
        )

    def _attempt(self, key: tuple[str, ...], make: Callable[[], T]) -> T | None:
        """The value, or None and a complaint."""
        try:
            return make()
        except ConfigError as error:
            self._complaints.add((*self._key, *key), error)
            return None

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
            return self._attempt(("local", "id"), lambda: parse_identity(text))
        if addresses:
            return address_identity(addresses[0])
        return self._attempt(
            ("local",), _refuse("who are we? Neither id nor address is given", 'add id = "gw.example.com"')
        )

    def _credential(self, identity: Identity) -> PresharedKey | CertificateCredential | None:
        table = self._table.local
        if table.auth == "psk":
            return self._preshared_key(("local", "secret"), table.secret)
        certificate, key = table.certificate, table.key
        if certificate is None or key is None:
            lacking = "certificate" if certificate is None else "key"
            return self._attempt(
                ("local",), _refuse(f'auth = "certificate" needs {lacking}', f'add {lacking} = "PATH.pem"')
            )
        chain = self._attempt(("local", "certificate"), lambda: read_file(certificate, self._directory))
        private = self._attempt(("local", "key"), lambda: read_private_file(key, self._directory))
        if chain is None or private is None:
            return None
        return self._attempt(("local", "certificate"), lambda: load_credential(chain, private, identity))

    def _preshared_key(self, key: tuple[str, ...], text: str | None) -> PresharedKey | None:
        if text is None:
            return self._attempt(key[:1], _refuse('auth = "psk" needs secret', 'add secret = "file:PATH"'))
        return self._attempt(key, lambda: PresharedKey(read_secret(text, self._directory)))

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
            return self._attempt(("remote", "id"), lambda: parse_identity_pattern(text))
        if addresses:
            identity = address_identity(addresses[0])
            return IdentityPattern(identity.text, identity)
        return self._attempt(
            ("remote",),
            _refuse("who is the peer? Neither id nor address is given", 'add id = "gw.example.com", or "%any"'),
        )

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
            return self._attempt(("remote",), _refuse('auth = "certificate" needs ca', 'add ca = "PATH.pem"'))
        return self._attempt(("remote", "ca"), lambda: load_trust(read_file(ca, self._directory)))

    def _addresses(self, key: tuple[str, ...], texts: Iterable[str]) -> tuple[IpAddress, ...]:
        wanted = [text for text in texts if text != "%any"]
        return self._each(key, wanted, _parse_address)

    def _check_start(self, remote: Remote | None) -> None:
        if remote is not None and not remote.addresses and self._table.start != "manual":
            why = f'start = "{self._table.start}" needs to know where the peer is, and remote.address says anywhere'
            self._attempt(("start",), _refuse(why, 'set remote.address, or start = "manual" and let the peer connect'))

    def _while_down(self) -> WhileDown:
        """Whoever wants a connection to be up wants no packet of it in clear; by hand, the person decides when."""
        table = self._table
        if table.while_down is None:
            return WhileDown.PASS if table.start == "manual" else WhileDown.DISCARD
        if table.while_down == "pass" and table.start == "on-demand":
            why = 'start = "on-demand" holds packets back until there is an SA, and while_down = "pass" lets them go'
            self._attempt(("while_down",), _refuse(why, "leave while_down out"))
        return WhileDown(table.while_down)

    def _check_name(self, key: tuple[str, ...], name: str) -> None:
        """A name is spoken of in logs and on command lines."""
        if not name or not name.isprintable():
            self._attempt(key, _refuse(f"{name!r} is no name", "use letters, digits, hyphens, dots, spaces"))

    # -- children

    def _check_different(self, children: list[ChildPolicy]) -> None:
        """Of two children for the same networks only the first would ever carry anything."""
        seen: dict[tuple[frozenset[TrafficSelector], frozenset[TrafficSelector]], str] = {}
        for child in children:
            networks = frozenset(child.local), frozenset(child.remote)
            other = seen.setdefault(networks, child.name)
            if other != child.name and all(networks):
                why = f"the same networks as child {other}: packets cannot be told apart"
                self._attempt(("child", child.name), _refuse(why, "remove one of the two"))

    def _child(self, name: str, table: ChildTable) -> ChildPolicy:
        key = ("child", name)
        self._check_name(key, name)
        return ChildPolicy(
            name=name,
            local=self._selectors((*key, "local"), table.local),
            remote=self._selectors((*key, "remote"), table.remote),
            proposals=self._proposals((*key, "proposals"), table.proposals, parse_esp_proposal, DEFAULT_ESP_PROPOSALS),
            mode=Mode(table.mode),
            replay_window=table.replay_window,
        )

    def _selectors(self, key: tuple[str, ...], texts: list[str]) -> tuple[TrafficSelector, ...]:
        if not texts:
            self._attempt(key, _refuse("at least one network is needed", '"0.0.0.0/0" stands for everything'))
        return self._each(key, texts, parse_selector)

    def _proposals(
        self,
        key: tuple[str, ...],
        texts: list[str] | None,
        parse: Callable[[str, int], Proposal],
        default: tuple[Proposal, ...],
    ) -> tuple[Proposal, ...]:
        if texts is None:
            return default
        if not texts:
            self._attempt(key, _refuse("an empty list allows nothing", "leave the key out for the default"))
        return self._each(key, texts, lambda text: self._proposal(parse(text, 1)))

    def _each(self, key: tuple[str, ...], texts: Iterable[str], parse: Callable[[str], T]) -> tuple[T, ...]:
        """The elements of a list, each with a complaint of its own."""
        found = [self._attempt((*key, str(index)), partial(parse, text)) for index, text in enumerate(texts)]
        return tuple(value for value in found if value is not None)

    def _proposal(self, proposal: Proposal) -> Proposal:
        """Refuse what we do not have, and what is weak unless it is allowed."""
        for transform in proposal.transforms:
            if not _is_implemented(proposal.protocol, transform):
                raise ConfigError(f"{keyword_of(transform)} is not implemented", hint="`caponier doi` lists what is")
        weak = weak_algorithms(proposal)
        if weak and not self._table.allow_weak:
            told = "; ".join(f"{keyword}: {guidance}" for keyword, guidance in weak)
            raise ConfigError(
                f"weak: {told}",
                hint="choose stronger ones, or set allow_weak = true for this connection",
            )
        return proposal


def _is_implemented(protocol: ProtocolId, transform: Transform) -> bool:
    kind = TransformType(transform.type)
    if protocol == ProtocolId.IKE or kind == TransformType.KEY_EXCHANGE:
        return is_implemented(kind, transform.id, transform.key_length)
    return carries(protocol, kind, transform.id, transform.key_length)


def _refuse(message: str, hint: str) -> Callable[[], None]:
    def raising() -> None:
        raise ConfigError(message, hint=hint)

    return raising


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
