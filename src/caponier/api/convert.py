"""From the daemon's own types to the schema."""

from __future__ import annotations

import platform
from importlib import metadata

from caponier import __version__
from caponier._plane import __version__ as plane_version
from caponier.api import schema
from caponier.daemon import daemon, journal
from caponier.daemon.config import Place
from caponier.daemon.engines.base import SaTraffic, Traffic
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import CaponierError, NegotiationFailed, PeerRejected
from caponier.mechanisms.negotiation.leases import Pool
from caponier.mechanisms.negotiation.proposals import format_proposal, weak_in
from caponier.mechanisms.negotiation.selectors import format_selector
from caponier.mechanisms.negotiation.spd import SpdEntry
from caponier.protocols.ike.events import ChildSaStatus, IkeSaStatus
from caponier.protocols.ike.policy import ChildPolicy, Connection, Retransmission


def version() -> schema.VersionInfo:
    """The versions of what is running here."""
    return schema.VersionInfo(
        caponier=__version__,
        plane=plane_version,
        python=platform.python_version(),
        cryptography=metadata.version("cryptography"),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def problem(error: CaponierError, place: Place | None = None) -> schema.Problem:
    """An error."""
    offered = error.offered if isinstance(error, NegotiationFailed | PeerRejected) else None
    accepted = error.accepted if isinstance(error, NegotiationFailed) else None
    return schema.Problem(
        kind=type(error).__name__,
        message=error.message,
        hint=error.hint,
        offered=offered or None,
        accepted=accepted or None,
        setting=error.setting,
        file=None if place is None else str(place.file),
        line=None if place is None else place.line,
    )


def trouble(found: journal.Trouble) -> schema.Trouble:
    """A trouble."""
    return schema.Trouble(
        when=found.when,
        connection=found.connection,
        child=found.child,
        peer=found.peer,
        problem=problem(found.error, found.place),
    )


def happening(found: journal.Happening) -> schema.Happening:
    """A line of the history."""
    told = None if found.trouble is None else problem(found.trouble.error, found.trouble.place)
    return schema.Happening(
        when=found.when, kind=found.kind, connection=found.connection, text=found.text, problem=told
    )


def status(found: daemon.Snapshot) -> schema.Status:
    """Everything."""
    return schema.Status(
        since=found.since,
        file=str(found.configuration.file),
        interface=found.interface,
        policies=[policy(each) for each in found.configuration.policies],
        pools=[_pool(each, found.held[each.name]) for each in found.configuration.pools],
        connections=[connection(each) for each in found.configuration.connections.values()],
        ike_sas=[_ike_sa(each, found) for each in found.ike_sas],
        troubles=[trouble(each) for each in found.troubles],
        retransmission=_retransmission(found.configuration.settings.retransmission),
        half_open=found.half_open,
        drops=dict(found.drops),
        plane_drops=dict(found.plane_drops),
        warnings=found.warnings,
    )


def _retransmission(found: Retransmission) -> schema.Retransmission:
    return schema.Retransmission(
        first=found.first, factor=found.factor, attempts=found.attempts, patience=round(found.patience, 1)
    )


def _pool(found: Pool, held: int) -> schema.Pool:
    return schema.Pool(
        name=found.name,
        first=str(found.first),
        last=str(found.last),
        held=held,
        dns=list(map(str, found.dns)),
        subnets=list(map(str, found.subnets)),
    )


def policy(found: SpdEntry) -> schema.ConfiguredPolicy:
    """A policy before all connections."""
    return schema.ConfiguredPolicy(
        name=found.name,
        action=found.action.value,
        local=[format_selector(each) for each in found.local],
        remote=[format_selector(each) for each in found.remote],
    )


def connection(found: Connection) -> schema.ConfiguredConnection:
    """A configured connection."""
    return schema.ConfiguredConnection(
        name=found.name,
        start=found.start.value,
        local_id=found.local.identity.text,
        remote_id=found.remote.identity.text,
        remote_addresses=[str(address) for address in found.remote.addresses] or ["%any"],
        interface=found.attachment.interface,
        proposals=[format_proposal(each) for each in found.proposals],
        children=[_configured_child(each) for each in found.children],
    )


def _configured_child(found: ChildPolicy) -> schema.ConfiguredChild:
    return schema.ConfiguredChild(
        name=found.name,
        protocol=found.protocol.name.lower(),
        mode=found.mode.value,
        local=[format_selector(each) for each in found.local],
        remote=[format_selector(each) for each in found.remote],
        proposals=[format_proposal(each) for each in found.proposals],
    )


def _ike_sa(found: IkeSaStatus, snapshot: daemon.Snapshot) -> schema.IkeSa:
    return schema.IkeSa(
        spi_i=found.id.spi_i.hex(),
        spi_r=found.id.spi_r.hex(),
        connection=found.connection,
        role=found.role.value,
        phase=found.phase,
        local_address=str(found.path.local),
        local_port=found.path.local_port,
        remote_address=str(found.path.remote),
        remote_port=found.path.remote_port,
        suite=found.suite,
        local_id=found.local_id,
        remote_id=found.remote_id,
        local_auth=found.local_auth,
        remote_auth=found.remote_auth,
        nat_here=found.nat_here,
        nat_there=found.nat_there,
        movable=found.is_movable,
        peer_addresses=[str(each) for each in found.peer_addresses],
        weak=list(weak_in(ProtocolId.IKE, found.suite)),
        quantum_safe=list(found.quantum_safe),
        fragment_size=found.fragment_size,
        seconds=snapshot.now - found.since,
        silent_seconds=snapshot.now - found.last_heard,
        transmissions=found.transmissions,
        assigned=list(found.assigned),
        lent=list(found.lent),
        children=[_child_sa(each, snapshot) for each in found.children],
    )


def _child_sa(found: ChildSaStatus, snapshot: daemon.Snapshot) -> schema.ChildSa:
    carried: SaTraffic | None = snapshot.traffic.get(found.spi_in)
    return schema.ChildSa(
        name=found.name,
        protocol=found.protocol,
        mode=found.mode,
        spi_in=found.spi_in,
        spi_out=found.spi_out,
        suite=found.suite,
        local=list(found.local),
        remote=list(found.remote),
        encapsulated=found.encapsulated,
        weak=list(weak_in(ProtocolId[found.protocol.upper()], found.suite)),
        quantum_safe=list(found.quantum_safe),
        seconds=snapshot.now - found.since,
        inbound=None if carried is None else _traffic(carried.inbound),
        outbound=None if carried is None else _traffic(carried.outbound),
    )


def _traffic(found: Traffic) -> schema.Traffic:
    return schema.Traffic(packets=found.packets, octets=found.octets, dropped=dict(found.dropped))
