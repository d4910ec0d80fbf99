"""IKE_AUTH: each side says who it is and proves it, and the first Child SA is made (RFC 7296 sections 1.2, 2.15 and 2.21.2)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import AuthMethod, CertEncoding, ExchangeType, NotifyType
from caponier.errors import AuthenticationFailed, CaponierError, Disposition, PeerError, PeerRejected, WireError
from caponier.mechanisms.algorithms.catalog import prf
from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust, verify_chain
from caponier.mechanisms.authentication.evidence import PeerAuthenticated
from caponier.mechanisms.authentication.identity import Identity, same
from caponier.mechanisms.authentication.psk import PresharedKey, compute_psk_auth, verify_psk_auth
from caponier.mechanisms.authentication.signatures import (
    choose_scheme,
    decode_signature,
    encode_legacy_signature,
    encode_signature,
    legacy_method_of,
    verify_legacy_signature,
    verify_signature,
)
from caponier.mechanisms.authentication.signed_octets import signed_octets
from caponier.mechanisms.keys.schedule import IkeKeys
from caponier.mechanisms.negotiation.pad import PadEntry, authorized_entry
from caponier.mechanisms.negotiation.proposals import Proposal, accept, without_key_exchange
from caponier.mechanisms.negotiation.selectors import TrafficSelector, is_subset
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import (
    Authentication,
    Certificate,
    Configuration,
    IdentificationInitiator,
    IdentificationResponder,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
    VendorId,
)
from caponier.protocols.ike.policy import ChildPolicy, Connection, Mode
from caponier.protocols.ike.v2 import ppk
from caponier.protocols.ike.v2.child_sa import (
    Agreement,
    agree,
    choose,
    install,
    offer,
    policy_offer,
)
from caponier.protocols.ike.v2.exchanges import configuration, mobike
from caponier.protocols.ike.v2.exchanges.delete import decline_child_sa
from caponier.protocols.ike.v2.exchanges.informational import InformationalRequest
from caponier.protocols.ike.v2.exchanges.init import InitResult, certificate_requests
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.nat import PREFERS_UDP, preference
from caponier.protocols.ike.v2.reaction import notify_of
from caponier.protocols.ike.v2.reauthentication import auth_lifetime
from caponier.protocols.ike.v2.steps import InboundSpi, Step, allocate_spi, request, sign
from caponier.protocols.ike.v2.wish import Wish, mode_notifies, wish_of_reply, wish_of_request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


# -- proofs, for both roles


@dataclass(frozen=True, slots=True)
class Proof:
    """An AUTH payload of ours, with the certificates that belong to it.

    Attributes:
        certificates: our own first.
        authentication: the AUTH payload.
        method: for people: ``psk`` or the signature scheme.
    """

    certificates: tuple[Certificate, ...]
    authentication: Authentication
    method: str


def _prove(sa: IkeSa, connection: Connection, init: InitResult, id_body: bytes) -> Step[Proof]:
    """Prove that we are who we say (section 2.15).

    Raises:
        AuthenticationFailed: the peer cannot verify anything that our key makes.
    """
    octets = _octets(sa, init, id_body, ours=True)
    credential = connection.local.credential
    if isinstance(credential, PresharedKey):
        data = compute_psk_auth(prf(sa.protector.suite.prf), credential, octets)
        return Proof((), Authentication(AuthMethod.SHARED_KEY_MIC, data), "psk")
    certificates = tuple(Certificate(CertEncoding.X509_SIGNATURE, each) for each in credential.encoded)
    authentication, method = yield from _signature(credential, init, octets)
    return Proof(certificates, authentication, method)


def _signature(credential: CertificateCredential, init: InitResult, octets: bytes) -> Step[tuple[Authentication, str]]:
    """By RFC 7427 where the peer announced it, else by RFC 4754 where our key can."""
    legacy = legacy_method_of(credential.key)
    if init.peer_hashes or legacy is None:
        scheme = choose_scheme(credential.key, init.peer_hashes)
        signature = yield from sign(credential.key, scheme, octets)
        return Authentication(AuthMethod.DIGITAL_SIGNATURE, encode_signature(scheme, signature)), scheme.text
    method, row = legacy
    signature = yield from sign(credential.key, row.scheme, octets)
    return Authentication(method, encode_legacy_signature(row, signature)), row.scheme.text


def _octets(sa: IkeSa, init: InitResult, id_body: bytes, *, ours: bool) -> bytes:
    """What an AUTH payload covers: the signer's first message, the other's nonce, the signer's identity."""
    is_initiators = (sa.role is Role.INITIATOR) == ours
    keys, function = sa.protector.keys, prf(sa.protector.suite.prf)
    message = sa.init_sent if ours else sa.init_received
    nonce, sk_p = (init.nr, keys.sk_pi) if is_initiators else (init.ni, keys.sk_pr)
    return signed_octets(message, nonce, function, sk_p, id_body, sa.intermediate.int_auth())


def _verify(
    sa: IkeSa,
    connection: Connection,
    init: InitResult,
    message: Message,
    authentication: Authentication,
    identification: IdentificationInitiator | IdentificationResponder,
) -> PeerAuthenticated:
    """Verify the peer's AUTH payload by what its connection demands (section 2.15).

    Raises:
        AuthenticationFailed: it proves nothing.
    """
    try:
        return _verify_proof(sa, connection, init, message, authentication, identification)
    except AuthenticationFailed as error:
        ppk.suspect(sa, error)
        raise


def _verify_proof(
    sa: IkeSa,
    connection: Connection,
    init: InitResult,
    message: Message,
    authentication: Authentication,
    identification: IdentificationInitiator | IdentificationResponder,
) -> PeerAuthenticated:
    identity, id_body = identification.identity, identification.body
    octets = _octets(sa, init, id_body, ours=False)
    match connection.remote.requirement:
        case PresharedKey() as key:
            _require_method(authentication, AuthMethod.SHARED_KEY_MIC, "a preshared key")
            setting = "local.secret" if key == connection.local.credential else "remote.secret"
            function = prf(sa.protector.suite.prf)
            return verify_psk_auth(function, key, octets, authentication.data, identity, setting=setting)
        case CertificateTrust() as trust:
            return _verify_certificate(sa, trust, message, authentication, identity, octets)


def _require_method(authentication: Authentication, method: AuthMethod, wanted: str) -> None:
    if authentication.method != method:
        raise AuthenticationFailed(
            f"the peer authenticates by {authentication.method.name}, we want {wanted}",
            section="RFC 7296 section 2.15",
            hint="let both sides use the same kind of authentication",
            setting="remote.auth",
        )


def _verify_certificate(
    sa: IkeSa,
    trust: CertificateTrust,
    message: Message,
    authentication: Authentication,
    identity: Identity,
    octets: bytes,
) -> PeerAuthenticated:
    if authentication.method == AuthMethod.SHARED_KEY_MIC:
        _require_method(authentication, AuthMethod.DIGITAL_SIGNATURE, "a certificate")
    chain = [each.data for each in message.all(Certificate) if each.encoding == CertEncoding.X509_SIGNATURE]
    if not chain:
        raise AuthenticationFailed(
            f"{identity.text} sent no X.509 certificate; we accept what {trust.text} issued",
            section="RFC 7296 section 3.6",
            hint="let the peer send its certificate (strongSwan: send_cert = always)",
            setting="remote.ca",
        )
    verified = verify_chain(chain[0], chain[1:], trust, identity, sa.host.calendar(sa.now))
    if authentication.method == AuthMethod.DIGITAL_SIGNATURE:
        scheme, signature = decode_signature(authentication.data)
        verify_signature(verified.public_key, scheme, signature, octets)
    else:
        scheme = verify_legacy_signature(verified.public_key, authentication.method, authentication.data, octets)
    return PeerAuthenticated(identity, scheme.text)


def _heed_preference(sa: IkeSa, connection: Connection, message: Message) -> None:
    """ESP travels in UDP where both sides say that they like it better."""
    sa.prefers_udp = bool(preference(connection)) and PREFERS_UDP in message.all(VendorId)


# -- initiator


@dataclass(frozen=True, slots=True)
class IkeAuthRequest:
    """``SK {IDi, [CERT,] [CERTREQ,] [IDr,] AUTH, [CP(CFG_REQUEST),] SAi2, TSi, TSr}`` (section 1.2)."""

    sa: IkeSa
    connection: Connection
    policy: ChildPolicy
    identification: IdentificationInitiator
    proof: Proof
    ppk: tuple[Notify, ...]
    offered: tuple[Proposal, ...]
    configuration: tuple[Configuration, ...]
    is_only: bool  #: whether the peer may forget other IKE SAs with us (INITIAL_CONTACT, section 2.4)

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.IKE_AUTH

    def payloads(self) -> Sequence[Payload]:
        wanted = self.connection.remote.identity.exact
        return (
            self.identification,
            *self.proof.certificates,
            *((Notify(NotifyType.INITIAL_CONTACT),) if self.is_only else ()),
            *certificate_requests((self.connection,)),
            *(() if wanted is None else (IdentificationResponder(wanted),)),
            self.proof.authentication,
            *self.configuration,
            *mode_notifies(self.policy.mode),
            SecurityAssociation(self.offered),
            TrafficSelectorsInitiator(self.policy.local),
            TrafficSelectorsResponder(self.policy.remote),
            *self.ppk,
            *preference(self.connection),
            *mobike.offer(self.sa, self.connection),
        )

    def read(self, reply: Message) -> Message:
        """The reply, if it is more than a refusal."""
        if not reply.all(IdentificationResponder):
            notify = next(iter(reply.error_notifies), Notify(NotifyType.AUTHENTICATION_FAILED))
            raise rejected(notify, self.exchange, self.connection)
        return reply


def initiate(sa: IkeSa, connection: Connection, policy: ChildPolicy, init: InitResult) -> Step[None]:
    """Prove ourselves, verify the peer, make the first Child SA.

    A Child SA that fails leaves the IKE SA (section 1.2); it is reported.

    Raises:
        PeerRejected: the peer does not let us in.
        AuthenticationFailed: the peer did not prove who it is.
    """
    me = IdentificationInitiator(connection.local.identity)
    proof, plain, ppk_notifies = yield from _prove_with_ppk(sa, connection, init, me.body)
    with (yield from allocate_spi(policy.protocol, sa.give_back)) as spi:
        offered = offer([without_key_exchange(each) for each in policy.proposals], spi)
        is_only = not sa.host.has_peer(sa)
        asked = configuration.ask(sa, connection)
        reply = yield from request(
            IkeAuthRequest(sa, connection, policy, me, proof, ppk_notifies, offered, asked, is_only)
        )
        try:
            ppk.conclude(sa, connection, plain, reply)
            peer = _authenticate_responder(sa, connection, init, reply)
        except PeerError as error:
            yield from _take_leave(sa, error)
            raise
        _heed_preference(sa, connection, reply)
        mobike.heed(sa, connection, reply)
        sa.establish(peer, proof.method)
        sa.reauthentication.heed(reply.notify(NotifyType.AUTH_LIFETIME))
        yield from _first_child(sa, peer, policy, offered, spi, init, reply)


def _prove_with_ppk(
    sa: IkeSa, connection: Connection, init: InitResult, id_body: bytes
) -> Step[tuple[Proof, IkeKeys | None, tuple[Notify, ...]]]:
    """Prove ourselves with the PPK mixed in where both sides have one, and besides without it where we may do without.

    Returns:
        The proof, the keys without the PPK, and ``N(PPK_IDENTITY, PPK_ID), [N(NO_PPK_AUTH)]`` (RFC 8784 section 3).
    """
    if connection.ppk is None or not init.uses_ppk:
        return (yield from _prove(sa, connection, init, id_body)), None, ()
    notifies = [Notify(NotifyType.PPK_IDENTITY, data=connection.ppk.identity)]
    if not connection.ppk.required:
        without = yield from _prove(sa, connection, init, id_body)
        notifies.append(Notify(NotifyType.NO_PPK_AUTH, data=without.authentication.data))
    plain = ppk.mix(sa, connection.ppk)
    return (yield from _prove(sa, connection, init, id_body)), plain, tuple(notifies)


def _authenticate_responder(sa: IkeSa, connection: Connection, init: InitResult, reply: Message) -> PeerAuthenticated:
    identification = reply.one(IdentificationResponder)
    identity = identification.identity
    entry: PadEntry[Identity, Connection] = PadEntry(connection.remote.identity, (), connection)
    authorized_entry((entry,), identity)
    _require_own_address(sa, connection, identity)
    return _verify(sa, connection, init, reply, reply.one(Authentication), identification)


def _take_leave(sa: IkeSa, error: PeerError) -> Step[None]:
    """The peer believes that the IKE SA stands: tell it that it does not (section 2.21.2)."""
    sa.phase = Phase.CLOSING
    notify = notify_of(error) or Notify(NotifyType.AUTHENTICATION_FAILED)
    with suppress(CaponierError):
        yield from request(InformationalRequest((notify,)))


def _first_child(
    sa: IkeSa,
    peer: PeerAuthenticated,
    policy: ChildPolicy,
    offered: tuple[Proposal, ...],
    spi: InboundSpi,
    init: InitResult,
    reply: Message,
) -> Step[None]:
    connection = sa.require_connection(peer)
    try:
        if reply.all(SecurityAssociation):
            yield from configuration.take(sa, connection, reply)
        agreement = accept_reply(sa, reply, connection, policy, offered)
        yield from install(sa, peer, agreement, spi, init.ni, init.nr, is_requester=True)
    except CaponierError as error:
        sa.report_failure(error, child=policy.name)
        decline(sa, spi, reply)
        if connection.virtual_ip and sa.internal.assignment is None:
            sa.request_close(error.message, error)  # and begin anew later, section 3.15.4


def decline(sa: IkeSa, spi: InboundSpi, reply: Message) -> None:
    """Let the peer drop the Child SA that its answer made, if it made one, and that we do not take."""
    if reply.all(SecurityAssociation):
        sa.requests.enqueue(decline_child_sa(sa, spi.protocol, spi.octets))


def accept_reply(
    sa: IkeSa, reply: Message, connection: Connection, policy: ChildPolicy, offered: tuple[Proposal, ...]
) -> Agreement:
    """Check what the peer chose for a Child SA against what we offered.

    Raises:
        PeerRejected: it refuses.
        PeerError: it chose what we did not offer.
    """
    sa_payload = reply.optional(SecurityAssociation)
    if sa_payload is None:
        notify = next(iter(reply.error_notifies), Notify(NotifyType.NO_PROPOSAL_CHOSEN))
        raise rejected(notify, reply.exchange, connection, child=policy, offered=policy_offer(policy, offered))
    proposal = accept(sa_payload.proposals, offered)
    if reply.exchange == ExchangeType.IKE_AUTH:
        proposal = without_key_exchange(proposal)
    wish = wish_of_reply(sa, reply)
    _require_mode(wish, policy)
    local, remote = wish.selectors(policy.mode)
    _require_subset(local, policy.local)
    _require_subset(remote, policy.remote)
    local = sa.internal.narrowed_local(policy, local)
    _require_subset(local, policy.local)
    return agree(policy, proposal, local, remote, wish)


def _require_mode(wish: Wish, policy: ChildPolicy) -> None:
    """Require the mode that we asked for.

    Raises:
        PeerRejected: we asked for transport mode, and the peer made it a tunnel (section 1.3.1).
        WireError: the other way round, which nobody may.
    """
    if wish.mode is policy.mode:
        return
    if wish.mode is Mode.TRANSPORT:
        raise WireError(
            "the peer answers with transport mode, we asked for a tunnel",
            field="USE_TRANSPORT_MODE",
            section="RFC 7296 section 1.3.1",
            disposition=Disposition.FAIL_CHILD,
        )
    raise PeerRejected(
        "the peer declines transport mode",
        notify=int(NotifyType.USE_TRANSPORT_MODE),
        hint="set the same mode on both sides",
        setting=f"child.{policy.name}.mode",
    )


def _require_subset(answered: Sequence[TrafficSelector], ours: Sequence[TrafficSelector]) -> None:
    if not answered or not is_subset(answered, ours):
        raise WireError(
            "the peer answers with traffic selectors that we did not ask for",
            field="traffic selectors",
            section="RFC 7296 section 2.9",
        )


# -- responder


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Verify the peer, prove ourselves, make the first Child SA.

    Raises:
        AuthenticationFailed: the peer is not let in.
    """
    init = sa.require_init()
    sa.intermediate.require_complete()
    identification = message.optional(IdentificationInitiator)
    if identification is None or message.optional(Authentication) is None:
        raise AuthenticationFailed(
            "the peer asks for EAP, which this connection does not offer",
            section="RFC 7296 section 2.16",
            hint="let the peer authenticate by a preshared key or a certificate",
            setting="remote.auth",
        )
    connection = _connection_for(sa, message, identification.identity)
    sa.join(connection)
    authentication = ppk.choose(sa, connection, message, is_agreed=init.uses_ppk)
    peer = _verify(sa, connection, init, message, authentication, identification)
    me = IdentificationResponder(connection.local.identity)
    proof = yield from _prove(sa, connection, init, me.body)
    if message.notify(NotifyType.INITIAL_CONTACT) is not None:
        sa.peer = peer
        sa.host.sa_identified(sa)
        sa.host.supersede(sa)
    _heed_preference(sa, connection, message)
    mobike.heed(sa, connection, message)
    sa.establish(peer, proof.method)
    child = yield from _answer_child(sa, peer, connection, init, message)
    moves = () if sa.movement is None else mobike.offer(sa, connection)
    also: tuple[Payload, ...] = (*ppk.confirmation(sa), *auth_lifetime(connection), *preference(connection), *moves)
    return Answer((me, *proof.certificates, proof.authentication, *child, *also))


def _connection_for(sa: IkeSa, message: Message, identity: Identity) -> Connection:
    """The connection that fits who the peer says it is, and whom it wants to speak to (RFC 4301 section 4.4.3)."""
    wanted = message.optional(IdentificationResponder)
    candidates = sa.candidates
    if wanted is not None:
        candidates = tuple(each for each in candidates if same(each.local.identity, wanted.identity))
        if not candidates:
            ours = ", ".join(dict.fromkeys(each.local.identity.text for each in sa.candidates))
            raise AuthenticationFailed(
                f"the peer wants to speak to {wanted.identity.text}, we are {ours}",
                section="RFC 7296 section 3.5",
                hint="compare the peer's remote identity with local.id here",
                setting="local.id",
            )
    entries: list[PadEntry[Identity, Connection]] = [
        PadEntry(each.remote.identity, each.remote.addresses, each) for each in candidates
    ]
    entry = authorized_entry(entries, identity)
    _require_own_address(sa, entry.peer, identity)
    return entry.peer


def _require_own_address(sa: IkeSa, connection: Connection, identity: Identity) -> None:
    """Require that a peer that calls itself an address has it, where we did not name that very address.

    RFC 4945 section 3.1.1: the comparison is the default. Behind a NAT nobody's address is the one we see.

    Raises:
        AuthenticationFailed: it speaks from another one.
    """
    address = identity.address
    is_named = connection.remote.identity.exact is not None
    if address is None or is_named or sa.nat.there or address == sa.path.remote:
        return
    raise AuthenticationFailed(
        f"the peer says it is {address}, and speaks from {sa.path.remote}",
        section="RFC 4945 section 3.1.1",
        hint=f'if that is as it should be, name it: remote.id = "{address}"',
        setting="remote.id",
    )


def _answer_child(
    sa: IkeSa, peer: PeerAuthenticated, connection: Connection, init: InitResult, message: Message
) -> Step[tuple[Payload, ...]]:
    """The payloads for the first Child SA: its answer, or a notification of why not (section 1.2)."""
    offered = message.optional(SecurityAssociation)
    if offered is None:
        return ()
    wish = wish_of_request(sa, message)
    try:
        configured = yield from configuration.answer(sa, connection, message)
        accepted = {policy.name: tuple(map(without_key_exchange, policy.proposals)) for policy in connection.children}
        proposals = tuple(map(without_key_exchange, offered.proposals))
        agreement = choose(sa.internal.applied(connection), proposals, wish, accepted)
        with (yield from allocate_spi(agreement.policy.protocol, sa.give_back)) as spi:
            yield from install(sa, peer, agreement, spi, init.ni, init.nr, is_requester=False)
            return (*configured, *answer_payloads(agreement, spi))
    except CaponierError as error:
        sa.report_failure(error)
        return (notify_of(error) or Notify(NotifyType.NO_PROPOSAL_CHOSEN),)


def answer_payloads(agreement: Agreement, spi: InboundSpi, *between: Payload) -> tuple[Payload, ...]:
    """What a responder says of a Child SA: ``[N(USE_TRANSPORT_MODE)], SAr2, [Nr, KEr,] TSi, TSr``.

    Args:
        agreement: what was chosen of the peer's offer.
        spi: ours, which goes into the proposal.
        between: the nonce and the key exchange of CREATE_CHILD_SA.
    """
    return (
        *mode_notifies(agreement.mode),
        SecurityAssociation((replace(agreement.proposal, spi=spi.octets),)),
        *between,
        TrafficSelectorsInitiator(agreement.remote),
        TrafficSelectorsResponder(agreement.local),
    )
