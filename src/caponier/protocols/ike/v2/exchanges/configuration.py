"""Configuration payloads: internal addresses and what belongs to them (RFC 7296 sections 2.19, 2.20 and 3.15).

They travel within other exchanges: a request for an address goes with IKE_AUTH, "the CP payloads MUST be inserted in the
messages containing the SA payloads"; what a peer asks for later, in CREATE_CHILD_SA or INFORMATIONAL, it gets too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier import __version__
from caponier.doi.ikev2 import ConfigAttributeType, ConfigType, IdType
from caponier.errors import InternalAddressFailure
from caponier.mechanisms.authentication.identity import Identity
from caponier.mechanisms.negotiation.leases import Holder
from caponier.protocols.ike.effects import ApplyAssignment, Assignment, LeaseAddress
from caponier.protocols.ike.events import AddressesAssigned
from caponier.protocols.ike.messages.attributes import Asked, read_reply, read_request, write_reply, write_request
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Configuration
from caponier.protocols.ike.policy import Connection, IpAddress
from caponier.protocols.ike.v2.steps import Perform, Step

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

_OTHERS = (ConfigAttributeType.APPLICATION_VERSION, ConfigAttributeType.SUPPORTED_ATTRIBUTES)


# -- initiator


def ask(sa: IkeSa, connection: Connection) -> tuple[Configuration, ...]:
    """``[CP(CFG_REQUEST)]``: what the connection wants; the addresses that we had last, where any will do."""
    if not connection.virtual_ip:
        return ()
    former = {each.version: each for each in sa.host.former_addresses.get(connection.name, ())}
    wanted = [former.get(each.version, each) if each.is_unspecified else each for each in connection.virtual_ip]
    return (write_request(wanted, asks_for_dns=connection.takes_dns),)


def take(sa: IkeSa, connection: Connection, reply: Message) -> Step[None]:
    """Use what the peer configures us with; where we asked for nothing, nothing.

    Raises:
        InternalAddressFailure: no address is in it. "If the initiator requires the assignment of an IP address, it will
            treat a response without CFG_REPLY as an error" (section 3.15.4).
        EngineError: the system does not take it.
    """
    if not connection.virtual_ip:
        return
    assignment = _assignment(connection, reply)
    if not assignment.addresses:
        raise InternalAddressFailure(
            "the peer gave us no internal address",
            hint="does the peer have a pool for us, of the family that we ask for?",
            setting="virtual_ip",
        )
    yield Perform(ApplyAssignment(connection.name, assignment))
    sa.internal.assignment = assignment
    sa.host.former_addresses[connection.name] = sa.internal.own
    addresses = tuple(map(str, assignment.addresses))
    sa.host.report(AddressesAssigned(sa.id, connection.name, addresses, tuple(map(str, assignment.dns)), is_ours=True))


def _assignment(connection: Connection, reply: Message) -> Assignment:
    """What the reply has of what we asked for."""
    payload = reply.optional(Configuration)
    if payload is None or payload.type != ConfigType.CFG_REPLY:
        return Assignment(())
    told, families = read_reply(payload), {each.version for each in connection.virtual_ip}
    addresses = tuple(each for each in told.addresses if each.version in families)
    return Assignment(addresses, told.dns if connection.takes_dns else (), told.subnets)


# -- responder


def answer(sa: IkeSa, connection: Connection, message: Message) -> Step[tuple[Configuration, ...]]:
    """``[CP(CFG_REPLY)]`` for ``[CP(CFG_REQUEST)]``; CFG_SET changes nothing here ("MAY ignore", section 3.15.1).

    What a connection without pools is asked for is ignored like what we do not know, save our version, for which the
    answer is an empty text where we do not tell it (section 2.20).

    Raises:
        InternalAddressFailure: addresses are asked for, and there is none.
    """
    payload = message.optional(Configuration)
    if payload is None or payload.type != ConfigType.CFG_REQUEST:
        return ()
    asked = read_request(payload)
    yield from _lend(sa, connection, asked)
    if not sa.internal.lent and asked.types.isdisjoint(_OTHERS):
        return ()
    version = f"Caponier {__version__}" if connection.tells_version else ""
    lent = [each for family, each in sa.internal.lent.items() if family in asked.addresses]
    return (write_reply(asked, lent, version),)


def _lend(sa: IkeSa, connection: Connection, asked: Asked) -> Step[None]:
    """Find an address of each family that is asked for and that we have a pool of: one will do."""
    missing = [family for family in asked.addresses if family not in sa.internal.lent]
    fresh: list[IpAddress] = []
    failure: InternalAddressFailure | None = None
    for family in missing:
        pools = tuple(pool for pool in connection.pools if pool.version == family)
        if not pools:
            continue  # "the responder simply ignores the type of address it does not support", section 3.15.4
        try:
            address: IpAddress = yield Perform(LeaseAddress(pools, _holder(sa), asked.addresses[family]))
        except InternalAddressFailure as error:
            failure = error
            continue
        sa.internal.lent[family] = next(pool for pool in pools if address in pool), address
        fresh.append(address)
    if failure is not None and not sa.internal.lent:
        raise failure
    if fresh:
        sa.host.report(AddressesAssigned(sa.id, connection.name, tuple(map(str, fresh)), (), is_ours=False))


def _holder(sa: IkeSa) -> Holder:
    identity = b"" if sa.peer is None else _octets(sa.peer.identity)
    return Holder(identity, (sa.path.remote, sa.path.remote_port))


def _octets(identity: Identity) -> bytes:
    """The same octets for the same identity: names have no case (RFC 4343)."""
    is_name = identity.type in (IdType.ID_FQDN, IdType.ID_RFC822_ADDR)
    return int(identity.type).to_bytes(1) + (identity.value.lower() if is_name else identity.value)
