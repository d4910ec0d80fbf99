"""A Child SA of the configuration: what travels, by which protocol and mode, and how its packets are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from caponier.daemon.config.attempts import Attempts
from caponier.daemon.config.compose_addresses import DYNAMIC, Internal, selectors_of
from caponier.daemon.config.schema import ChildTable, ConnectionTable
from caponier.doi.ikev2 import ProtocolId, TransformType
from caponier.errors import ConfigError
from caponier.mechanisms.algorithms.catalog import is_implemented
from caponier.mechanisms.algorithms.packets import carries
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_AH_PROPOSALS,
    DEFAULT_ESP_PROPOSALS,
    Proposal,
    Transform,
    parse_ah_proposal,
    parse_esp_proposal,
    weak_algorithms,
)
from caponier.mechanisms.negotiation.selectors import IpAddress, TrafficSelector, format_selector
from caponier.mechanisms.negotiation.spelling import keyword_of
from caponier.mechanisms.negotiation.transforms import KEY_EXCHANGES
from caponier.protocols.ike.policy import ChildPolicy, DontFragment, Handling, Lifetime, Mode

_PROPOSALS: Mapping[str, tuple[Callable[[str, int], Proposal], tuple[Proposal, ...]]] = MappingProxyType(
    {"esp": (parse_esp_proposal, DEFAULT_ESP_PROPOSALS), "ah": (parse_ah_proposal, DEFAULT_AH_PROPOSALS)}
)
REKEY_TIME = 3600.0  #: seconds after which a Child SA is replaced where nothing is written
_OF_A_TUNNEL = ("tfc", "dscp", "ecn", "df", "mss")  #: keys that speak of an outer header, or of what fits behind it


def compose_child(
    attempts: Attempts,
    name: str,
    table: ChildTable,
    connection: ConnectionTable,
    ours: Sequence[IpAddress],
    theirs: Sequence[IpAddress],
    internal: Internal,
) -> ChildPolicy:
    """One child.

    Args:
        attempts: at its table.
        name: its name.
        table: its values.
        connection: that it belongs to.
        ours: addresses of our end; empty for any.
        theirs: addresses of the peer; empty for anywhere.
        internal: the connection's internal addresses.
    """
    attempts.name(name)
    parse, default = _PROPOSALS[table.protocol]
    policy = ChildPolicy(
        name=name,
        local=selectors_of(attempts, "local", table.local, internal.local),
        remote=selectors_of(attempts, "remote", table.remote, internal.remote),
        proposals=compose_proposals(attempts, table.proposals, parse, default, allow_weak=connection.allow_weak),
        mode=Mode(table.mode),
        replay_window=table.replay_window,
        handling=_handling(table),
        lifetime=_lifetime(attempts, table),
        local_is_assigned=DYNAMIC in table.local,
        remote_is_assigned=DYNAMIC in table.remote,
    )
    if table.protocol == "ah":
        _check_ah(attempts, table, connection)
    if policy.mode is Mode.TRANSPORT:
        _check_transport(attempts, table, policy, ours, theirs)
    return policy


def compose_proposals(
    attempts: Attempts,
    texts: list[str] | None,
    parse: Callable[[str, int], Proposal],
    default: tuple[Proposal, ...],
    *,
    allow_weak: bool,
) -> tuple[Proposal, ...]:
    """The value of ``proposals``, for IKE, ESP or AH."""
    if texts is None:
        return default
    if not texts:
        attempts.refuse(("proposals",), "an empty list allows nothing", "leave the key out for the default")
    return attempts.each(("proposals",), texts, lambda text: _allowed(parse(text, 1), allow_weak=allow_weak))


def _allowed(proposal: Proposal, *, allow_weak: bool) -> Proposal:
    """Refuse what we do not have, and what is weak unless it is allowed."""
    for transform in proposal.transforms:
        if not _is_implemented(proposal.protocol, transform):
            raise ConfigError(f"{keyword_of(transform)} is not implemented", hint="`caponier doi` lists what is")
    weak = weak_algorithms(proposal)
    if weak and not allow_weak:
        told = "; ".join(f"{keyword}: {guidance}" for keyword, guidance in weak)
        raise ConfigError(
            f"weak: {told}",
            hint="choose stronger ones, or set allow_weak = true for this connection",
        )
    return proposal


def _is_implemented(protocol: ProtocolId, transform: Transform) -> bool:
    kind = TransformType(transform.type)
    if protocol == ProtocolId.IKE or kind in KEY_EXCHANGES:
        return is_implemented(kind, transform.id, transform.key_length)
    return carries(protocol, kind, transform.id, transform.key_length)


# -- packets


def _handling(table: ChildTable) -> Handling:
    return Handling(
        tfc=table.tfc,
        dscp=table.dscp,
        ecn=table.ecn,
        dont_fragment=DontFragment(table.df),
        clamps_mss=table.mss == "auto",
    )


def _rekey_time(table: ChildTable) -> float:
    """What is written, or an hour, or nine tenths of a shorter life."""
    if table.rekey_time is not None:
        return table.rekey_time
    return min(REKEY_TIME, 0.9 * table.life_time) if table.life_time else REKEY_TIME


def _lifetime(attempts: Attempts, table: ChildTable) -> Lifetime:
    for kind in ("bytes", "packets", "time"):
        soft, hard = getattr(table, f"rekey_{kind}") or 0, getattr(table, f"life_{kind}")
        if 0 < hard <= soft:
            why = f"it would be deleted (life_{kind} = {hard:g}) before it is replaced (rekey_{kind} = {soft:g})"
            attempts.refuse((f"rekey_{kind}",), why, f"let rekey_{kind} be less than life_{kind}, by a tenth or so")
    return Lifetime(
        soft_octets=table.rekey_bytes,
        hard_octets=table.life_bytes,
        soft_packets=table.rekey_packets,
        hard_packets=table.life_packets,
        soft_seconds=_rekey_time(table),
        hard_seconds=table.life_time,
    )


# -- what does not go together


def _check_ah(attempts: Attempts, table: ChildTable, connection: ConnectionTable) -> None:
    if connection.encapsulation == "forced":
        why = 'AH does not travel in UDP, and encapsulation = "forced" wants that'
        attempts.refuse(("protocol",), why, 'leave encapsulation out, or set protocol = "esp"')
    if table.tfc != 0:
        attempts.refuse(("tfc",), "AH hides no length: only ESP pads (RFC 4303 section 2.7)", "leave tfc out")


def _check_transport(
    attempts: Attempts, table: ChildTable, policy: ChildPolicy, ours: Sequence[IpAddress], theirs: Sequence[IpAddress]
) -> None:
    """Transport mode joins the two hosts themselves (RFC 4301 section 4.1)."""
    _check_host(attempts, "local", policy.local, ours)
    _check_host(attempts, "remote", policy.remote, theirs)
    for side in ("local", "remote"):
        if DYNAMIC in getattr(table, side):
            why = "internal addresses are inside of a tunnel, and transport mode has none"
            attempts.refuse((side,), why, 'set mode = "tunnel"')
    for key in _OF_A_TUNNEL:
        if key in table.model_fields_set:
            why = f"{key} is for tunnels: in transport mode there is no second header around the packet"
            attempts.refuse((key,), why, f"leave {key} out")


def _check_host(
    attempts: Attempts, side: str, selectors: Sequence[TrafficSelector], addresses: Sequence[IpAddress]
) -> None:
    """Each selector is one address: that of the host, where it is known. A peer from anywhere may be any of a network."""
    is_anywhere = side == "remote" and not addresses
    for index, each in enumerate(selectors):
        if each.start != each.end and not is_anywhere:
            attempts.refuse(
                (side, str(index)),
                f"transport mode is between two hosts, and {format_selector(each)} is a network",
                'write the address of the host, or set mode = "tunnel"',
            )
        elif addresses and each.start not in addresses:
            attempts.refuse(
                (side, str(index)),
                f"transport mode is between the two ends themselves, and {side}.address does not have {each.start}",
                f'write {side} = "{addresses[0]}", or set mode = "tunnel"',
            )
