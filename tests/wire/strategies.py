"""Hypothesis strategies for payloads, headers and messages; every value is one that we could send."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from caponier.doi.ikev2 import (
    AuthMethod,
    CertEncoding,
    ConfigAttributeType,
    ConfigType,
    ExchangeType,
    IdType,
    KeyExchangeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TrafficSelectorType,
    TransformAttributeType,
    TransformType,
)
from caponier.mechanisms.authentication.identity import Identity
from caponier.mechanisms.negotiation.proposals import Attribute, Proposal, Transform
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import (
    Authentication,
    Certificate,
    CertificateRequest,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Eap,
    Encrypted,
    EncryptedFragment,
    IdentificationInitiator,
    IdentificationResponder,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
    Unknown,
    UnknownTrafficSelector,
    VendorId,
)

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
octets = st.binary(max_size=64)
spi_4 = st.binary(min_size=4, max_size=4)
spi_8 = st.binary(min_size=8, max_size=8)

# --- Security Association ---

attribute_types = st.integers(0, 0x7FFF).map(TransformAttributeType)


@st.composite
def attributes(draw: st.DrawFn) -> Attribute:
    if draw(st.booleans()):
        return Attribute(TransformAttributeType.KEY_LENGTH, draw(u16))
    attribute_type = draw(attribute_types.filter(lambda kind: kind != TransformAttributeType.KEY_LENGTH))
    return Attribute(attribute_type, draw(u16 | st.binary(max_size=9)))


transforms = st.builds(
    Transform,
    (st.integers(1, 12) | u8).map(TransformType),
    st.integers(0, 40) | u16,
    st.lists(attributes(), max_size=3, unique_by=lambda attribute: int(attribute.type)).map(tuple),
)


@st.composite
def proposals(draw: st.DrawFn, number: st.SearchStrategy[int]) -> Proposal:
    protocol = draw(st.sampled_from([ProtocolId.IKE, ProtocolId.AH, ProtocolId.ESP]) | u8.map(ProtocolId))
    spis = {
        ProtocolId.IKE: st.just(b"") | spi_8,
        ProtocolId.AH: spi_4,
        ProtocolId.ESP: spi_4,
    }.get(protocol, st.binary(max_size=16))
    chosen = draw(st.lists(transforms, min_size=1, max_size=6))
    return Proposal(draw(number), protocol, draw(spis), tuple(chosen))


@st.composite
def offers(draw: st.DrawFn) -> SecurityAssociation:
    count = draw(st.integers(2, 4))
    return SecurityAssociation(tuple(draw(proposals(st.just(number))) for number in range(1, count + 1)))


answers = proposals(st.integers(1, 255)).map(lambda proposal: SecurityAssociation((proposal,)))
security_associations = answers | offers()

# --- the others ---

key_exchanges = st.builds(KeyExchange, u16.map(KeyExchangeId), octets)


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    known = st.sampled_from(
        [IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR, IdType.ID_FQDN, IdType.ID_KEY_ID, IdType.ID_NULL]
    )
    id_type = draw(known | u8.map(IdType))
    length = {IdType.ID_IPV4_ADDR: 4, IdType.ID_IPV6_ADDR: 16, IdType.ID_NULL: 0}.get(id_type)
    return Identity(id_type, draw(octets if length is None else st.binary(min_size=length, max_size=length)))


reserved = st.just(bytes(3)) | st.binary(min_size=3, max_size=3)
identifications_initiator = st.builds(IdentificationInitiator, identities(), reserved)
identifications_responder = st.builds(IdentificationResponder, identities(), reserved)
certificates = st.builds(Certificate, u8.map(CertEncoding), octets)
certificate_requests = st.builds(CertificateRequest, u8.map(CertEncoding), octets)
authentications = st.builds(Authentication, u8.map(AuthMethod), octets)
nonces = st.builds(Nonce, st.binary(min_size=16, max_size=256))
notify_types = st.sampled_from(list(NotifyType)) | u16.map(NotifyType)
notifies = st.builds(Notify, notify_types, st.just(ProtocolId.NONE), st.just(b""), octets) | st.builds(
    Notify, notify_types, st.sampled_from([ProtocolId.AH, ProtocolId.ESP]), spi_4, octets
)
deletes = st.just(Delete(ProtocolId.IKE)) | st.builds(
    Delete, st.sampled_from([ProtocolId.AH, ProtocolId.ESP]), st.lists(spi_4, max_size=5).map(tuple)
)
vendor_ids = st.builds(VendorId, octets)


@st.composite
def ranges(draw: st.DrawFn) -> TrafficSelector:
    if draw(st.booleans()):
        start, end = (IPv4Address(number) for number in sorted(draw(st.tuples(u32, u32))))
        addresses: tuple[IPv4Address | IPv6Address, ...] = (start, end)
    else:
        wide = st.integers(0, 2**128 - 1)
        addresses = tuple(IPv6Address(number) for number in sorted(draw(st.tuples(wide, wide))))
    ports = draw(st.just((65_535, 0)) | st.tuples(u16, u16).map(sorted).map(tuple))
    return TrafficSelector(draw(u8), ports[0], ports[1], addresses[0], addresses[1])


unknown_selectors = st.builds(
    UnknownTrafficSelector,
    u8.filter(lambda number: number not in (7, 8)).map(TrafficSelectorType),
    u8,
    st.binary(max_size=20),
)
selector_lists = st.lists(ranges() | unknown_selectors, min_size=1, max_size=5).map(tuple)
selectors_initiator = st.builds(TrafficSelectorsInitiator, selector_lists)
selectors_responder = st.builds(TrafficSelectorsResponder, selector_lists)
configurations = st.builds(
    Configuration,
    u8.map(ConfigType),
    st.lists(
        st.builds(ConfigurationAttribute, st.integers(0, 0x7FFF).map(ConfigAttributeType), st.binary(max_size=20)),
        max_size=5,
    ).map(tuple),
)


@st.composite
def eap_messages(draw: st.DrawFn) -> Eap:
    code = draw(st.integers(1, 6))
    content = b"" if code in (3, 4) else draw(st.binary(min_size=1, max_size=40))
    return Eap(bytes((code, draw(u8))) + (4 + len(content)).to_bytes(2) + content)


unknown_payloads = st.builds(
    Unknown,
    (st.integers(1, 32) | st.integers(49, 52) | st.integers(54, 255)).map(PayloadType),
    st.just(value=False),
    octets,
)

plain_payloads: st.SearchStrategy[Payload] = st.one_of(
    security_associations,
    key_exchanges,
    identifications_initiator,
    identifications_responder,
    certificates,
    certificate_requests,
    authentications,
    nonces,
    notifies,
    deletes,
    vendor_ids,
    selectors_initiator,
    selectors_responder,
    configurations,
    eap_messages(),
)
payload_chains = st.lists(plain_payloads | unknown_payloads, max_size=8).map(tuple)

encrypteds = st.builds(Encrypted, u8.map(PayloadType), octets)


@st.composite
def fragments(draw: st.DrawFn) -> EncryptedFragment:
    total = draw(st.integers(1, 0xFFFF))
    number = draw(st.integers(1, total))
    first = draw(u8.map(PayloadType)) if number == 1 else PayloadType.NO_NEXT
    return EncryptedFragment(first, number, total, draw(octets))


headers = st.builds(
    Header,
    spi_i=spi_8,
    spi_r=spi_8,
    exchange=u8.map(ExchangeType),
    is_initiator=st.booleans(),
    is_response=st.booleans(),
    message_id=u32,
    minor=st.integers(0, 15),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A message in clear, sometimes with a sealed payload at its end."""
    sealed = draw(st.just(()) | (encrypteds | fragments()).map(lambda payload: (payload,)))
    return Message(draw(headers), (*draw(payload_chains), *sealed))
