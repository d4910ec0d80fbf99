"""IKE_SA_INIT: agree on algorithms and keys with a stranger (RFC 7296 sections 1.2, 2.6, 2.7, 2.10, 2.14 and 2.23)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from caponier.doi.ikev2 import CertEncoding, ExchangeType, HashAlgorithm, KeyExchangeId, NotifyType, TransformType
from caponier.errors import (
    ConfigError,
    InvalidKe,
    NoProposalChosen,
    PeerRejected,
    WireError,
)
from caponier.mechanisms.algorithms import catalog
from caponier.mechanisms.algorithms.catalog import key_exchange, prf
from caponier.mechanisms.algorithms.key_exchange import KeyPair
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.authentication.certificates import CertificateTrust, authority_hashes
from caponier.mechanisms.authentication.signatures import SUPPORTED_HASHES
from caponier.mechanisms.keys.schedule import derive_ike_keys
from caponier.mechanisms.negotiation.proposals import Proposal, accept, format_proposals, select, without_additional
from caponier.mechanisms.negotiation.suites import ike_suite
from caponier.mechanisms.negotiation.transforms import ADDITIONAL_KEY_EXCHANGES
from caponier.octets import Secret
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import (
    CertificateRequest,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
)
from caponier.protocols.ike.policy import Connection
from caponier.protocols.ike.v2 import ppk
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.fragmentation import Fragmentation, agreed, announcement
from caponier.protocols.ike.v2.nat import Nat, detection_notifies, floated, forces
from caponier.protocols.ike.v2.steps import Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

NONCE_LENGTH = 32  #: octets; at least half the key length of every PRF we have (section 2.10)
MAX_ATTEMPTS = 8  #: requests until we give up: a cookie and each group once, with some to spare
MAX_COOKIE = 64  #: octets, section 2.6


@dataclass(frozen=True, slots=True)
class InitResult:
    """What IKE_AUTH needs of the initial exchange.

    Attributes:
        ni: the initiator's nonce.
        nr: the responder's nonce.
        peer_hashes: over which the peer verifies signatures (RFC 7427 section 4); empty without that extension.
        uses_ppk: whether both sides want to use a postquantum preshared key (RFC 8784 section 3).
    """

    ni: bytes
    nr: bytes
    peer_hashes: frozenset[HashAlgorithm]
    uses_ppk: bool = False


@dataclass(frozen=True, slots=True)
class CookieRequired:
    """The peer wants to see that we are where we say (section 2.6)."""

    cookie: bytes


@dataclass(frozen=True, slots=True)
class GroupRequired:
    """The peer chose our proposal with another group than our KE payload is of (section 1.2)."""

    group: KeyExchangeId


@dataclass(frozen=True, slots=True)
class IkeSaInitReply:
    """The peer's half."""

    spi_r: bytes
    suite: IkeSuite
    shared: Secret
    nr: bytes
    nat: Nat
    fragmentation: Fragmentation | None
    peer_hashes: frozenset[HashAlgorithm]
    uses_ppk: bool


@dataclass(frozen=True, slots=True)
class IkeSaInitRequest:
    """Our first message: ``HDR, [N(COOKIE)], SAi1, KEi, Ni, N(NAT_DETECTION_*), [N(IKEV2_FRAGMENTATION_SUPPORTED)],
    N(SIGNATURE_HASH_ALGORITHMS)``."""

    sa: IkeSa
    connection: Connection
    offered: tuple[Proposal, ...]
    group: KeyExchangeId
    pair: KeyPair
    ni: bytes
    cookie: bytes | None

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.IKE_SA_INIT

    def payloads(self) -> Sequence[Payload]:
        sa = self.sa
        cookie = () if self.cookie is None else (Notify(NotifyType.COOKIE, data=self.cookie),)
        nat = detection_notifies(sa.spi_i, sa.spi_r, sa.path, is_forced=forces(self.connection), rng=sa.host.rng)
        return (
            *cookie,
            SecurityAssociation(self.offered),
            KeyExchange(self.group, self.pair.public),
            Nonce(self.ni),
            *nat,
            *((Notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED),) if wants_intermediate(self.connection) else ()),
            *ppk.announcement((self.connection,)),
            *announcement((self.connection,)),
            _hashes_notify(),
        )

    def read(self, reply: Message) -> CookieRequired | GroupRequired | IkeSaInitReply:
        """Parse the reply; nothing of it is authentic."""
        cookie = reply.notify(NotifyType.COOKIE)
        if cookie is not None:
            return self._cookie(cookie.data)
        wanted = reply.notify(NotifyType.INVALID_KE_PAYLOAD)
        if wanted is not None:
            return self._other_group(wanted)
        if reply.error_notifies or not reply.all(SecurityAssociation):
            raise self._rejected(reply)
        return self._accept(reply)

    def _cookie(self, cookie: bytes) -> CookieRequired:
        if not 1 <= len(cookie) <= MAX_COOKIE:
            raise WireError(f"a cookie of {len(cookie)} octets", field="cookie", section="RFC 7296 section 2.6")
        return CookieRequired(cookie)

    def _other_group(self, notify: Notify) -> GroupRequired:
        group = KeyExchangeId(int.from_bytes(notify.data[:2]))
        if group == self.group or group not in groups_of(self.offered):
            raise self._rejected_by(notify)
        return GroupRequired(group)

    def _rejected(self, reply: Message) -> PeerRejected:
        notify = next(iter(reply.error_notifies), Notify(NotifyType.INVALID_SYNTAX))
        return self._rejected_by(notify)

    def _rejected_by(self, notify: Notify) -> PeerRejected:
        offered = format_proposals(self.offered)
        return rejected(notify, self.exchange, self.connection, offered=offered, is_protected=False)

    def _accept(self, reply: Message) -> IkeSaInitReply:
        suite = ike_suite(accept(reply.one(SecurityAssociation).proposals, self.offered))
        public = reply.one(KeyExchange)
        if suite.key_exchange != self.group or public.group != self.group:
            raise WireError(
                f"the peer answers with {public.group} where we sent {self.group}",
                field="key exchange method",
                section="RFC 7296 section 1.2",
            )
        if suite.additional and reply.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
            raise WireError(
                "the peer chose additional key exchanges, and does not say that it knows IKE_INTERMEDIATE",
                field="INTERMEDIATE_EXCHANGE_SUPPORTED",
                section="RFC 9370 section 2.2.1",
            )
        nr = reply.one(Nonce).data
        require_nonce(nr, suite)
        uses_ppk = ppk.require_agreed(reply, self.connection)
        return IkeSaInitReply(
            spi_r=reply.spi_r,
            suite=suite,
            shared=self.pair.derive_shared(public.public),
            nr=nr,
            nat=Nat.detect(reply, self.sa.path, is_forced=forces(self.connection)),
            fragmentation=agreed(reply, (self.connection,)),
            peer_hashes=peer_hashes(reply),
            uses_ppk=uses_ppk,
        )


def initiate(sa: IkeSa, connection: Connection) -> Step[InitResult]:
    """Agree on keys with a stranger; its retries are those of sections 2.6 (cookie) and 1.2 (group).

    Raises:
        PeerRejected: the peer wants nothing of what we offer.
        Silent: no answer.
    """
    offered = tuple(
        replace(proposal, number=number, spi=b"") for number, proposal in enumerate(connection.proposals, start=1)
    )
    group = next(iter(groups_of(offered)), None)
    if group is None:
        raise ConfigError("no proposal names a key exchange group", setting="proposals")
    ni, cookie, tried = sa.host.rng(NONCE_LENGTH), None, {group}
    pair = key_exchange(group).generate(sa.host.rng)
    for _ in range(MAX_ATTEMPTS):
        reply = yield from request(IkeSaInitRequest(sa, connection, offered, group, pair, ni, cookie))
        match reply:
            case CookieRequired(data):
                cookie = data
            case GroupRequired(wanted):
                if wanted in tried:
                    break  # it asks for one group after the other, round and round
                group = wanted
                tried.add(group)
                pair = key_exchange(group).generate(sa.host.rng)
            case IkeSaInitReply():
                _adopt(sa, reply, ni)
                return InitResult(ni, reply.nr, reply.peer_hashes, reply.uses_ppk)
            case _:
                assert_never(reply)
    raise PeerRejected(
        "IKE_SA_INIT: the peer asks for ever new cookies or groups",
        notify=int(NotifyType.INVALID_KE_PAYLOAD),
        hint="offer one group that the peer accepts",
        setting="proposals",
    )


def _adopt(sa: IkeSa, reply: IkeSaInitReply, ni: bytes) -> None:
    with reply.shared as shared:
        keys = derive_ike_keys(reply.suite, shared, ni, reply.nr, sa.spi_i, reply.spi_r)
    sa.spi_r = reply.spi_r
    sa.nat, sa.fragmentation = reply.nat, reply.fragmentation
    # RFC 4555 section 3.3: with MOBIKE on 4500 in any case, so that no port has to change with a path.
    moves = sa.connection is not None and sa.connection.moves and sa.nat.is_supported
    if sa.nat.encapsulates or moves:
        sa.path = floated(sa.path, sa.host.settings.ports)
    sa.adopt_keys(reply.suite, keys)
    sa.begin_intermediate(reply.suite)


@dataclass(frozen=True, slots=True)
class InitAnswer:
    """What a responder makes of an IKE_SA_INIT request.

    Attributes:
        payloads: of the response.
        candidates: the connections that the peer may turn out to be of.
        result: for IKE_AUTH.
        suite: what was chosen.
        shared: g^ir.
        nat: what was found on the way.
        fragmentation: where both sides agreed on it.
    """

    payloads: tuple[Payload, ...]
    candidates: tuple[Connection, ...]
    result: InitResult
    suite: IkeSuite
    shared: Secret
    nat: Nat
    fragmentation: Fragmentation | None


def respond(sa: IkeSa, message: Message) -> InitAnswer:
    """Answer a stranger's IKE_SA_INIT request. Nothing is kept unless all of it is acceptable.

    ``sa.candidates`` are the connections for the peer's address.

    Raises:
        NoProposalChosen: nothing in common, or nobody is expected from that address.
        InvalidKe: the KE payload is of another group than we choose.
        WireError: a nonce or a public value that must not be.
    """
    offered: Sequence[Proposal] = message.one(SecurityAssociation).proposals
    knows_intermediate = message.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is not None
    if not knows_intermediate:
        offered = without_additional(offered)
    chosen, candidates = _select(sa.candidates, offered)
    suite = ike_suite(chosen)
    public, ni = message.one(KeyExchange), message.one(Nonce).data
    if public.group != suite.key_exchange:
        raise InvalidKe(
            f"the KE payload is of {public.group}, we choose {suite.key_exchange}", wanted=int(suite.key_exchange)
        )
    require_nonce(ni, suite)
    rng = sa.host.rng
    nr = rng(NONCE_LENGTH)
    ours, shared = catalog.respond(suite.key_exchange, rng, public.public)
    forced = any(map(forces, candidates))
    uses_ppk = ppk.agreed(message, candidates)
    fragmentation = agreed(message, candidates)
    payloads: tuple[Payload, ...] = (
        SecurityAssociation((replace(chosen, spi=b""),)),
        KeyExchange(suite.key_exchange, ours),
        Nonce(nr),
        *detection_notifies(sa.spi_i, sa.spi_r, sa.path, is_forced=forced, rng=rng),
        *certificate_requests(candidates),
        *((Notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED),) if suite.additional else ()),
        *(ppk.announcement(candidates) if uses_ppk else ()),
        *(announcement(candidates) if fragmentation is not None else ()),
        _hashes_notify(),
    )
    return InitAnswer(
        payloads=payloads,
        candidates=candidates,
        result=InitResult(ni, nr, peer_hashes(message), uses_ppk),
        suite=suite,
        shared=shared,
        nat=Nat.detect(message, sa.path, is_forced=forced),
        fragmentation=fragmentation,
    )


def _select(candidates: Sequence[Connection], offered: Sequence[Proposal]) -> tuple[Proposal, tuple[Connection, ...]]:
    """A proposal that some candidate accepts, and all candidates that accept it."""
    refusal: NoProposalChosen | None = None
    for connection in candidates:
        try:
            chosen = select(offered, connection.proposals)
        except NoProposalChosen as error:
            refusal = refusal or error
            continue
        return chosen, tuple(each for each in candidates if each is connection or _accepts(each, chosen))
    raise refusal or NoProposalChosen(
        "no connection of ours is for a peer at this address",
        offered=format_proposals(offered),
        accepted="nothing from there",
        hint="add a connection whose remote.address is this address or %any",
    )


def _accepts(connection: Connection, chosen: Proposal) -> bool:
    try:
        select((chosen,), connection.proposals)
    except NoProposalChosen:
        return False
    return True


def groups_of(proposals: Sequence[Proposal]) -> tuple[KeyExchangeId, ...]:
    """The groups that proposals name, best first, each once."""
    found = [KeyExchangeId(each.id) for proposal in proposals for each in proposal.of(TransformType.KEY_EXCHANGE)]
    return tuple(dict.fromkeys(found))


def require_nonce(nonce: bytes, suite: IkeSuite) -> None:
    """Require that a nonce is long enough.

    Raises:
        WireError: shorter than half the PRF's key (section 2.10).
    """
    if 2 * len(nonce) < prf(suite.prf).key_length:
        raise WireError(
            f"a nonce of {len(nonce)} octets for {suite.prf.name}", field="nonce data", section="RFC 7296 section 2.10"
        )


def peer_hashes(message: Message) -> frozenset[HashAlgorithm]:
    """What SIGNATURE_HASH_ALGORITHMS says: 16 bits for each (RFC 7427 section 4)."""
    notify = message.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    data = b"" if notify is None else notify.data
    return frozenset(HashAlgorithm(int.from_bytes(data[at : at + 2])) for at in range(0, len(data) - 1, 2))


def certificate_requests(connections: Sequence[Connection]) -> tuple[CertificateRequest, ...]:
    """CERTREQ for the authorities that these connections trust; none where all use preshared keys (section 3.7)."""
    anchors = [
        anchor
        for connection in connections
        if isinstance(connection.remote.requirement, CertificateTrust)
        for anchor in connection.remote.requirement.anchors
    ]
    if not anchors:
        return ()
    return (CertificateRequest(CertEncoding.X509_SIGNATURE, authority_hashes(dict.fromkeys(anchors))),)


def _hashes_notify() -> Notify:
    data = b"".join(int(each).to_bytes(2) for each in SUPPORTED_HASHES)
    return Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, data=data)


def wants_intermediate(connection: Connection) -> bool:
    """Whether anything may be exchanged between IKE_SA_INIT and IKE_AUTH."""
    return any(proposal.types.intersection(ADDITIONAL_KEY_EXCHANGES) for proposal in connection.proposals)
