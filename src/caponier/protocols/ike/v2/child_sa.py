"""Child SAs on an IKE SA: what is offered, what is accepted, and their installation (RFC 7296 sections 1.2, 1.3.1, 2.9 and 2.17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ProtocolId
from caponier.errors import CaponierError, ConfigError, NoAdditionalSas, NoProposalChosen, TsUnacceptable
from caponier.mechanisms.algorithms.catalog import prf
from caponier.mechanisms.algorithms.suites import ChildSuite
from caponier.mechanisms.authentication.evidence import PeerAuthenticated
from caponier.mechanisms.keys.schedule import ChildKeys, derive_child_keys
from caponier.mechanisms.negotiation.proposals import Proposal, format_proposals, select
from caponier.mechanisms.negotiation.selectors import TrafficSelector, format_selector, narrow
from caponier.mechanisms.negotiation.suites import child_suite
from caponier.octets import Secret
from caponier.protocols.ike.effects import ChildSa, DirectionKeys, InstallChildSa, ReleaseSpi
from caponier.protocols.ike.events import ChildSaStatus
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import ChildPolicy, Connection, Handling, IpAddress, Mode
from caponier.protocols.ike.v2.nat import floated
from caponier.protocols.ike.v2.steps import InboundSpi, Perform, Step
from caponier.protocols.ike.v2.wish import Wish

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

Selectors = tuple[TrafficSelector, ...]


@dataclass(slots=True)
class ChildRecord:
    """An installed Child SA, as its IKE SA keeps it.

    Attributes:
        child: what was installed; its keys are wiped.
        suite: the negotiated algorithms.
        since: instant of installation.
        is_rekeying: our request to replace it is out.
        is_closing: our Delete of it is queued or out.
        successor: what has replaced it.
        rekey_at: instant of the next attempt to replace it: its time is nearly over, or the peer said "not now".
        ends_at: instant at which it is deleted.
        quantum_safe: by what its keys withstand a quantum computer.
        rival: the lowest nonce of the exchange by which the peer replaces it (RFC 7296 section 2.8.1).
        is_following_up: whether our exchange that replaces it is at its further key exchanges (RFC 9370 section 2.2.4).
    """

    child: ChildSa
    suite: ChildSuite
    since: float
    is_rekeying: bool = False
    is_closing: bool = False
    successor: ChildRecord | None = None
    rekey_at: float | None = None
    ends_at: float | None = None
    quantum_safe: tuple[str, ...] = ()
    rival: bytes | None = None
    is_following_up: bool = False

    @property
    def is_current(self) -> bool:
        """Whether it is there to stay: not replaced, and not about to be deleted."""
        return not self.is_closing and self.successor is None

    def move(self, path: Path) -> None:
        """The peer is somewhere else now."""
        self.child = replace(self.child, path=path)

    @property
    def status(self) -> ChildSaStatus:
        child = self.child
        return ChildSaStatus(
            name=child.name,
            protocol=child.protocol.name.lower(),
            mode=child.mode.value,
            spi_in=child.spi_in,
            spi_out=child.spi_out,
            suite=self.suite.text,
            local=tuple(map(format_selector, child.local)),
            remote=tuple(map(format_selector, child.remote)),
            encapsulated=child.path.encapsulated,
            since=self.since,
            quantum_safe=self.quantum_safe,
        )


@dataclass(frozen=True, slots=True)
class Replacement:
    """A Child SA that replaces another one, with what decides between two of them (RFC 7296 section 2.8.1).

    Attributes:
        record: the new Child SA.
        lowest_nonce: the lower one of the two nonces of the exchange that made it.
    """

    record: ChildRecord
    lowest_nonce: bytes


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides agreed on for one Child SA.

    Attributes:
        policy: ours, that it belongs to.
        proposal: one transform of each type; its SPI is the peer's.
        local: traffic selectors on our side.
        remote: traffic selectors on the peer's side.
        mode: tunnel or transport.
        handling: of the packets: ours, less what the peer does not take.
        counted: transport mode through a NAT: source and destination that the peer's checksums count.
    """

    policy: ChildPolicy
    proposal: Proposal
    local: tuple[TrafficSelector, ...]
    remote: tuple[TrafficSelector, ...]
    mode: Mode
    handling: Handling
    counted: tuple[IpAddress, IpAddress] | None = None


def agree(policy: ChildPolicy, proposal: Proposal, local: Selectors, remote: Selectors, wish: Wish) -> Agreement:
    """What comes of a policy of ours and of what the peer said, whoever of the two asked.

    Args:
        policy: ours.
        proposal: that both accept.
        local: selectors on our side that both accept.
        remote: the same for the peer's side.
        wish: what the peer said.

    Raises:
        TsUnacceptable: transport mode, and the selectors are not the two hosts.
    """
    handling = policy.handling if wish.takes_padding else replace(policy.handling, tfc=0)
    if policy.mode is Mode.TUNNEL:
        return Agreement(policy, proposal, local, remote, Mode.TUNNEL, handling)
    _require_hosts(policy, local, remote, wish)
    return Agreement(policy, proposal, local, remote, Mode.TRANSPORT, handling, wish.counted)


def _require_hosts(policy: ChildPolicy, local: Selectors, remote: Selectors, wish: Wish) -> None:
    """In transport mode the two ends of the SA are the two hosts (RFC 4301 section 4.1, RFC 7296 section 2.23.1)."""
    for side, selectors, host in (("local", local, wish.path.local), ("remote", remote, wish.path.remote)):
        if any(not each.start == each.end == host for each in selectors):
            raise TsUnacceptable(
                f"transport mode is between the two hosts themselves, and {selectors_text(selectors)} is not {host}",
                offered=_pair(wish.local, wish.remote),
                accepted=_pair(policy.local, policy.remote),
                hint='name the hosts\' own addresses on both sides, or use mode = "tunnel"',
                setting=f"child.{policy.name}.{side}",
            )


def offer(policy_proposals: Sequence[Proposal], spi: InboundSpi) -> tuple[Proposal, ...]:
    """Our proposals, numbered, with our SPI in them (RFC 7296 section 3.3.1)."""
    return tuple(
        replace(proposal, number=number, spi=spi.octets) for number, proposal in enumerate(policy_proposals, start=1)
    )


def choose(
    connection: Connection,
    offered: Sequence[Proposal],
    wish: Wish,
    proposals_of: Mapping[str, tuple[Proposal, ...]],
) -> Agreement:
    """Choose as responder which of our policies a request is for, and narrow it (RFC 7296 section 2.9).

    Tunnel mode serves a peer that asks for transport mode ("the responder declines", section 1.3.1), but only
    where it is ours too.

    Args:
        connection: ours.
        offered: the peer's proposals.
        wish: what else the peer asks for.
        proposals_of: what we accept for each policy, by its name; a policy that is not in it is not asked.

    Raises:
        TsUnacceptable: no policy has anything in common with the selectors.
        NoProposalChosen: those that have do not accept the proposals.
    """
    refusal: NoProposalChosen | None = None
    for policy in (each for each in connection.children if each.name in proposals_of):
        local, remote = wish.selectors(policy.mode)
        try:
            ours, theirs = narrow(local, policy.local), narrow(remote, policy.remote)
        except TsUnacceptable:
            continue
        try:
            _require_mode(policy, wish.mode)
            proposal = select(offered, proposals_of[policy.name])
        except NoProposalChosen as error:
            error.setting = error.setting or f"child.{policy.name}.proposals"
            refusal = refusal or error
            continue
        return agree(policy, proposal, ours, theirs, wish)
    raise refusal or _unacceptable(connection, wish.local, wish.remote)


def _require_mode(policy: ChildPolicy, asked: Mode) -> None:
    if policy.mode is Mode.TRANSPORT and asked is Mode.TUNNEL:
        raise NoProposalChosen(
            "the peer asks for tunnel mode, we want transport mode",
            offered=asked.value,
            accepted=policy.mode.value,
            hint="set the same mode on both sides",
            setting=f"child.{policy.name}.mode",
        )


def _unacceptable(
    connection: Connection, local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]
) -> TsUnacceptable:
    accepted = "; or ".join(_pair(policy.local, policy.remote) for policy in connection.children)
    nearest = next((policy for policy in connection.children if _has_common(local, policy.local)), None)
    setting = None
    if nearest is not None:
        setting = f"child.{nearest.name}.remote"
    elif connection.children:
        setting = f"child.{connection.children[0].name}.local"
    offered = _pair(local, remote)
    return TsUnacceptable(
        f"no traffic selectors in common: the peer asks for {offered}, we accept {accepted}",
        offered=offered,
        accepted=accepted,
        hint="the local networks of one side must lie in the remote networks of the other",
        setting=setting,
    )


def _has_common(one: Sequence[TrafficSelector], other: Sequence[TrafficSelector]) -> bool:
    try:
        return bool(narrow(one, other))
    except TsUnacceptable:
        return False


def _pair(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> str:
    return f"{selectors_text(local)} here, {selectors_text(remote)} there"


def selectors_text(selectors: Sequence[TrafficSelector]) -> str:
    """Selectors for people; of very many only the first."""
    shown = [format_selector(each) for each in selectors[:8]] + ["…"] * (len(selectors) > 8)
    return ", ".join(shown) or "nothing"


def policy_offer(policy: ChildPolicy, proposals: Sequence[Proposal]) -> str:
    """What we offered for a policy, for people."""
    return f"{format_proposals(proposals)} for {_pair(policy.local, policy.remote)}"


def require_room(sa: IkeSa, *, is_rekeying: bool = False) -> None:
    """Require that one more Child SA fits; a successor is there beside the one that it replaces.

    Raises:
        NoAdditionalSas: there are too many already.
    """
    limit = sa.host.settings.limits.children_per_ike_sa
    if sa.children.occupied >= limit * (2 if is_rekeying else 1):
        raise NoAdditionalSas(f"the IKE SA has {limit} Child SAs already, as many as we allow")


def install(
    sa: IkeSa,
    peer: PeerAuthenticated,
    agreement: Agreement,
    spi: InboundSpi,
    ni: bytes,
    nr: bytes,
    *,
    is_requester: bool,
    shared: Secret | None = None,
    further: Secret | None = None,
    replaced: ChildRecord | None = None,
) -> Step[ChildRecord]:
    """Derive the keys of a Child SA and put it into the data plane.

    Args:
        sa: the IKE SA.
        peer: the evidence that the other side is who it says.
        agreement: what was negotiated.
        spi: ours.
        ni: nonce of the exchange's initiator.
        nr: nonce of its responder.
        is_requester: whether the exchange is ours.
        shared: g^ir of the exchange, None without a key exchange of its own.
        further: secrets of its additional key exchanges.
        replaced: the Child SA that it is to replace.

    Raises:
        NoProposalChosen: AH, and there is a NAT on the way.
        EngineError: the data plane did not take it.
    """
    require_way(sa, agreement.policy)
    suite = child_suite(agreement.proposal)
    protection = sa.protector
    keys = derive_child_keys(prf(protection.suite.prf), protection.keys.sk_d, ni, nr, suite, shared, further)
    child = _child(sa, peer, agreement, suite, spi, keys, is_requester=is_requester)
    precursor = replaced or sa.host.twin(sa, child.name)
    if precursor is not None and not is_requester:
        child = replace(child, defers_to=precursor.child.spi_in)
    spi.take()
    try:
        yield Perform(InstallChildSa(child))
    except CaponierError:
        sa.give_back(ReleaseSpi(spi.protocol, spi.value))
        raise
    finally:
        keys.wipe()
    methods = () if suite.key_exchange is None else (suite.key_exchange, *suite.additional_methods)
    record = ChildRecord(child, suite, sa.now, quantum_safe=sa.quantum.of_child(*methods))
    sa.children.add(record)
    return record


def way(sa: IkeSa, protocol: ProtocolId) -> Path:
    """The path of a Child SA: ESP travels in UDP where a NAT demands it, and where both sides like it better."""
    if protocol == ProtocolId.ESP and sa.prefers_udp:
        return floated(sa.path, sa.host.settings.ports)
    return replace(sa.path, encapsulated=protocol == ProtocolId.ESP and sa.nat.encapsulates)


def require_way(sa: IkeSa, policy: ChildPolicy) -> None:
    """Require that the packets of a policy get through: AH protects the addresses that a NAT changes, and nothing
    encapsulates it (RFC 3948 section 1, RFC 3715 section 2.1).

    Raises:
        NoProposalChosen: AH, and there is a NAT on the way, or we pretend one.
    """
    if policy.protocol == ProtocolId.AH and sa.nat.encapsulates:
        raise NoProposalChosen(
            "AH does not pass a NAT, and there is one on the way",
            offered="AH",
            accepted="ESP",
            hint=f'set protocol = "esp" for child {policy.name} on both sides, or find a way without NAT',
            setting=f"child.{policy.name}.protocol",
        )


def first_policy(sa: IkeSa, connection: Connection) -> ChildPolicy:
    """The policy whose Child SA is made within IKE_AUTH: the first one whose packets get through.

    Raises:
        ConfigError: there is none, and so no use for the IKE SA.
    """
    refusal: NoProposalChosen | None = None
    for policy in connection.children:
        try:
            require_way(sa, policy)
        except NoProposalChosen as error:
            refusal = refusal or error
        else:
            return policy
    if refusal is None:
        raise ConfigError("the connection has no children")
    raise ConfigError(refusal.message, hint=refusal.hint, setting=refusal.setting)


def _child(
    sa: IkeSa,
    peer: PeerAuthenticated,
    agreement: Agreement,
    suite: ChildSuite,
    spi: InboundSpi,
    keys: ChildKeys,
    *,
    is_requester: bool,
) -> ChildSa:
    initiators = DirectionKeys(keys.initiator_encryption, keys.initiator_integrity)
    responders = DirectionKeys(keys.responder_encryption, keys.responder_integrity)
    keys_out, keys_in = (initiators, responders) if is_requester else (responders, initiators)
    policy = agreement.policy
    return ChildSa(
        connection=sa.require_connection(peer).name,
        name=policy.name,
        protocol=suite.protocol,
        mode=agreement.mode,
        spi_in=spi.value,
        spi_out=int.from_bytes(agreement.proposal.spi),
        encryption=suite.encryption,
        key_length=suite.key_length,
        integrity=suite.integrity,
        extended_sequence_numbers=suite.esn,
        replay_window=policy.replay_window,
        keys_in=keys_in,
        keys_out=keys_out,
        local=agreement.local,
        remote=agreement.remote,
        path=way(sa, suite.protocol),
        handling=agreement.handling,
        counted=agreement.counted,
        lifetime=policy.lifetime,
    )
