"""Payload bodies and whole messages beside their octets: written by hand from the RFC's diagrams.

Each row is used in both directions, as seed of the fuzz corpus, and as an example of its kind in other tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from caponier.doi.ikev2 import (
    AuthMethod,
    CertEncoding,
    ConfigAttributeType,
    ConfigType,
    EncryptionId,
    ExchangeType,
    IdType,
    IntegrityId,
    KeyExchangeId,
    NotifyType,
    PayloadType,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TrafficSelectorType,
    TransformAttributeType,
    TransformType,
)
from caponier.mechanisms.authentication.identity import Identity
from caponier.mechanisms.negotiation.proposals import Attribute, Proposal, Transform
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.protocols.ike.messages.header import Header
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


@dataclass(frozen=True)
class Row:
    name: str
    payload: Payload
    octets: bytes
    provenance: str


@dataclass(frozen=True)
class MessageRow:
    name: str
    header: Header
    payloads: tuple[Payload, ...]
    octets: bytes
    provenance: str


def _row(name: str, payload: Payload, octets: str, provenance: str) -> Row:
    return Row(name, payload, bytes.fromhex(octets), provenance)


def key_length(bits: int) -> tuple[Attribute, ...]:
    return (Attribute(TransformAttributeType.KEY_LENGTH, bits),)


ENCR, PRF, INTEG, KE, SN = (TransformType(number) for number in range(1, 6))
GCM_256 = Transform(ENCR, EncryptionId.ENCR_AES_GCM_16, key_length(256))

IKE_SA = SecurityAssociation(
    (
        Proposal(
            1,
            ProtocolId.IKE,
            b"",
            (
                GCM_256,
                Transform(PRF, PrfId.PRF_HMAC_SHA2_256),
                Transform(KE, KeyExchangeId.CURVE25519),
            ),
        ),
    )
)

# The example of RFC 7296 section 3.3, with the proposals, SPIs and transforms drawn there.
SECTION_3_3 = SecurityAssociation(
    (
        Proposal(
            1,
            ProtocolId.ESP,
            bytes.fromhex("052357bb"),
            (
                Transform(ENCR, EncryptionId.ENCR_AES_CBC, key_length(128)),
                Transform(ENCR, EncryptionId.ENCR_AES_CBC, key_length(192)),
                Transform(ENCR, EncryptionId.ENCR_AES_CBC, key_length(256)),
                Transform(INTEG, IntegrityId(2)),
                Transform(INTEG, IntegrityId(5)),
                Transform(SN, SequenceNumbersId(1)),
                Transform(SN, SequenceNumbersId(0)),
            ),
        ),
        Proposal(
            2,
            ProtocolId.ESP,
            bytes.fromhex("35a1d6f2"),
            (
                Transform(ENCR, EncryptionId(18), key_length(128)),
                Transform(ENCR, EncryptionId(18), key_length(256)),
                Transform(SN, SequenceNumbersId(1)),
                Transform(SN, SequenceNumbersId(0)),
            ),
        ),
    )
)

NONCE = Nonce(bytes(range(16)))

TSI = TrafficSelectorsInitiator(
    (
        TrafficSelector(17, 100, 100, IPv4Address("198.51.100.66"), IPv4Address("198.51.100.66")),
        TrafficSelector(17, 200, 200, IPv4Address("198.51.100.66"), IPv4Address("198.51.100.66")),
    )
)

ROWS = (
    _row(
        "sa-ike",
        IKE_SA,
        "00 00 0024 01 01 00 03"  # last proposal, 36 octets, number 1, IKE, no SPI, 3 transforms
        " 03 00 000c 01 00 0014 800e 0100"  # ENCR 20, Key Length 256 (TV)
        " 03 00 0008 02 00 0005"  # PRF 5
        " 00 00 0008 04 00 001f",  # KE 31, the last
        "RFC 7296 sections 3.3.1, 3.3.2, 3.3.5",
    ),
    _row(
        "sa-esp-two-proposals",
        SECTION_3_3,
        "02 00 0050 01 03 04 07 052357bb"
        " 03 00 000c 01 00 000c 800e 0080"
        " 03 00 000c 01 00 000c 800e 00c0"
        " 03 00 000c 01 00 000c 800e 0100"
        " 03 00 0008 03 00 0002"
        " 03 00 0008 03 00 0005"
        " 03 00 0008 05 00 0001"
        " 00 00 0008 05 00 0000"
        " 00 00 0034 02 03 04 04 35a1d6f2"
        " 03 00 000c 01 00 0012 800e 0080"
        " 03 00 000c 01 00 0012 800e 0100"
        " 03 00 0008 05 00 0001"
        " 00 00 0008 05 00 0000",
        "RFC 7296 section 3.3, the example",
    ),
    _row(
        "sa-unknown-transforms",
        SecurityAssociation(
            (
                Proposal(
                    7,
                    ProtocolId(99),
                    b"\x01\x02",
                    (
                        Transform(TransformType(200), 0xFFFF, (Attribute(TransformAttributeType(77), b"abc"),)),
                        Transform(
                            ENCR, EncryptionId(1023), (Attribute(TransformAttributeType(78), 5), *key_length(128))
                        ),
                        Transform(TransformType(6), KeyExchangeId(36)),
                    ),
                ),
            )
        ),
        "00 00 0031 07 63 02 03 0102"
        " 03 00 000f c8 00 ffff 004d 0003 616263"  # TLV
        " 03 00 0010 01 00 03ff 804e 0005 800e 0080"  # two TVs
        " 00 00 0008 06 00 0024",
        "RFC 7296 section 3.3.6: what is unknown is kept, and not chosen",
    ),
    _row("ke", KeyExchange(KeyExchangeId.ECP_256, b"\xaa\xbb"), "0013 0000 aabb", "RFC 7296 section 3.4"),
    _row("ke-unknown-group", KeyExchange(KeyExchangeId(40_000), b"\x01"), "9c40 0000 01", "RFC 7296 section 3.4"),
    _row(
        "idi-fqdn",
        IdentificationInitiator(Identity(IdType.ID_FQDN, b"gw1.example.com")),
        "02 000000 6777312e6578616d706c652e636f6d",
        "RFC 7296 section 3.5",
    ),
    _row(
        "idr-ipv4",
        IdentificationResponder(Identity(IdType.ID_IPV4_ADDR, bytes((192, 0, 2, 1)))),
        "01 000000 c0000201",
        "RFC 7296 section 3.5",
    ),
    _row("idi-null", IdentificationInitiator(Identity(IdType.ID_NULL, b"")), "0d 000000", "RFC 7619 section 2.2"),
    _row(
        "idi-reserved",
        IdentificationInitiator(Identity(IdType.ID_KEY_ID, b"k"), reserved=b"\x01\x02\x03"),
        "0b 010203 6b",
        "RFC 7296 sections 2.15 and 3.5: without a meaning, but under AUTH",
    ),
    _row("cert", Certificate(CertEncoding.X509_SIGNATURE, b"\x30\x00"), "04 3000", "RFC 7296 section 3.6"),
    _row(
        "certreq",
        CertificateRequest(CertEncoding.X509_SIGNATURE, b"\x11" * 20 + b"\x22" * 20),
        "04" + "11" * 20 + "22" * 20,
        "RFC 7296 section 3.7",
    ),
    _row("auth", Authentication(AuthMethod.SHARED_KEY_MIC, b"\xde\xad"), "02 000000 dead", "RFC 7296 section 3.8"),
    _row("nonce", NONCE, "000102030405060708090a0b0c0d0e0f", "RFC 7296 section 3.9"),
    _row(
        "notify-cookie",
        Notify(NotifyType.COOKIE, data=b"\x01\x02\x03"),
        "00 00 4006 010203",
        "RFC 7296 sections 2.6 and 3.10",
    ),
    _row(
        "notify-rekey-sa",
        Notify(NotifyType.REKEY_SA, ProtocolId.ESP, b"\xc0\xff\xee\x01"),
        "03 04 4009 c0ffee01",
        "RFC 7296 sections 1.3.3 and 3.10",
    ),
    _row(
        "notify-invalid-ke",
        Notify(NotifyType.INVALID_KE_PAYLOAD, data=b"\x00\x13"),
        "00 00 0011 0013",
        "RFC 7296 sections 1.3 and 3.10.1",
    ),
    _row("notify-unknown", Notify(NotifyType(40_969)), "00 00 a009", "RFC 7296 section 3.10.1, private use"),
    _row("delete-ike", Delete(ProtocolId.IKE), "01 00 0000", "RFC 7296 section 3.11"),
    _row(
        "delete-esp",
        Delete(ProtocolId.ESP, (b"\x00\x00\x01\x00", b"\xff\xff\xff\xff")),
        "03 04 0002 00000100 ffffffff",
        "RFC 7296 section 3.11",
    ),
    _row("vendor", VendorId(b"caponier"), "6361706f6e696572", "RFC 7296 section 3.12"),
    _row(
        "tsi-ipv4",
        TSI,
        "02 000000 07 11 0010 0064 0064 c6336442 c6336442 07 11 0010 00c8 00c8 c6336442 c6336442",
        "RFC 7296 section 3.13, the example",
    ),
    _row(
        "tsr-ipv6",
        TrafficSelectorsResponder(
            (TrafficSelector(0, 0, 65_535, IPv6Address("2001:db8::"), IPv6Address("2001:db8::ffff")),)
        ),
        "01 000000 08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db800000000000000000000ffff",
        "RFC 7296 section 3.13.1",
    ),
    _row(
        "tsr-label-and-opaque",
        TrafficSelectorsResponder(
            (
                UnknownTrafficSelector(TrafficSelectorType.TS_SECLABEL, 0, b"label"),
                UnknownTrafficSelector(TrafficSelectorType(241), 6, b""),
                TrafficSelector(6, 65_535, 0, IPv4Address("0.0.0.0"), IPv4Address("255.255.255.255")),
            )
        ),
        "03 000000 0a 00 0009 6c6162656c f1 06 0004 07 06 0010 ffff 0000 00000000 ffffffff",
        "RFC 9478 section 2.1, RFC 7296 section 3.13.1 (OPAQUE ports)",
    ),
    _row(
        "cp-request",
        Configuration(
            ConfigType.CFG_REQUEST,
            (
                ConfigurationAttribute(ConfigAttributeType(1)),
                ConfigurationAttribute(ConfigAttributeType(3)),
                ConfigurationAttribute(ConfigAttributeType(0x7FFF), b"\x05"),
            ),
        ),
        "01 000000 0001 0000 0003 0000 7fff 0001 05",
        "RFC 7296 sections 2.19 and 3.15",
    ),
    _row(
        "cp-request-windows",
        Configuration(
            ConfigType.CFG_REQUEST,
            tuple(ConfigurationAttribute(ConfigAttributeType(each)) for each in (1, 3, 4, 23_456, 8, 10, 23_457)),
        ),
        "01 000000 0001 0000 0003 0000 0004 0000 5ba0 0000 0008 0000 000a 0000 5ba1 0000",
        "RFC 7296 section 3.15.1, with two numbers of the range for private use",
    ),
    _row(
        "cp-reply",
        Configuration(
            ConfigType.CFG_REPLY,
            (
                ConfigurationAttribute(ConfigAttributeType(1), bytes((10, 9, 0, 5))),
                ConfigurationAttribute(ConfigAttributeType(2), bytes((255, 255, 255, 0))),
                ConfigurationAttribute(ConfigAttributeType(8), bytes.fromhex("fd00000900000000000000000000000540")),
                ConfigurationAttribute(ConfigAttributeType(13), bytes((10, 2, 0, 0, 255, 255, 0, 0))),
            ),
        ),
        "02 000000 0001 0004 0a090005 0002 0004 ffffff00 0008 0011 fd000009000000000000000000000005 40"
        "000d 0008 0a020000 ffff0000",
        "RFC 7296 section 3.15.1",
    ),
    _row("cp-empty", Configuration(ConfigType.CFG_ACK), "04 000000", "RFC 7296 section 3.15: zero or more"),
    _row("eap-identity", Eap(b"\x02\x07\x00\x06\x01a"), "02 07 0006 01 61", "RFC 7296 section 3.16"),
    _row("eap-success", Eap(b"\x03\x07\x00\x04"), "03 07 0004", "RFC 7296 section 3.16"),
    _row("eap-initiate", Eap(b"\x05\x01\x00\x05\x02"), "05 01 0005 02", "RFC 6867 section 3.1, code of RFC 6696"),
    _row(
        "skf", EncryptedFragment(PayloadType.NO_NEXT, 2, 3, b"sealed"), "0002 0003 7365616c6564", "RFC 7383 section 2.5"
    ),
    _row("sk", Encrypted(PayloadType.NO_NEXT, b"sealed"), "7365616c6564", "RFC 7296 section 3.14"),
)

SPI_I = bytes.fromhex("0001020304050607")
SPI_R = bytes.fromhex("f8f9fafbfcfdfeff")

MESSAGES = (
    MessageRow(
        "ike-sa-init-request",
        Header(
            spi_i=SPI_I,
            spi_r=bytes(8),
            exchange=ExchangeType.IKE_SA_INIT,
            is_initiator=True,
            is_response=False,
            message_id=0,
        ),
        (
            IKE_SA,
            KeyExchange(KeyExchangeId.CURVE25519, bytes(32)),
            NONCE,
            Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),
            VendorId(b"caponier"),
        ),
        bytes.fromhex(
            "0001020304050607 0000000000000000 21 20 22 08 00000000 00000094"
            " 22 00 0028"  # SA, then KE
            " 00 00 0024 01 01 00 03"
            " 03 00 000c 01 00 0014 800e 0100"
            " 03 00 0008 02 00 0005"
            " 00 00 0008 04 00 001f"
            " 28 00 0028 001f 0000"
            + "00"
            * 32  # KE, then Ni
            + " 29 00 0014 000102030405060708090a0b0c0d0e0f"  # Ni, then N
            " 2b 00 0008 00 00 402e"  # N(IKEV2_FRAGMENTATION_SUPPORTED), then V
            " 00 00 000c 6361706f6e696572"
        ),
        "RFC 7296 sections 1.2, 3.1 and 3.2",
    ),
    MessageRow(
        "ike-sa-init-cookie",
        Header(
            spi_i=SPI_I,
            spi_r=bytes(8),
            exchange=ExchangeType.IKE_SA_INIT,
            is_initiator=False,
            is_response=True,
            message_id=0,
        ),
        (Notify(NotifyType.COOKIE, data=b"\x01\x02\x03"),),
        bytes.fromhex("0001020304050607 0000000000000000 29 20 22 20 00000000 00000027 00 00 000b 00 00 4006 010203"),
        "RFC 7296 section 2.6",
    ),
    MessageRow(
        "sealed",
        Header(
            spi_i=SPI_I,
            spi_r=SPI_R,
            exchange=ExchangeType.INFORMATIONAL,
            is_initiator=True,
            is_response=True,
            message_id=0xDEADBEEF,
        ),
        (Unknown(PayloadType(200), critical=False, body=b"new"), Encrypted(PayloadType.D, b"iv, ciphertext, icv")),
        bytes.fromhex(
            "0001020304050607 f8f9fafbfcfdfeff c8 20 25 28 deadbeef 0000003a"
            " 2e 00 0007 6e6577"  # unknown payload 200, then SK
            " 2a 00 0017 69762c20636970686572746578742c20696376"  # SK, holding D first
        ),
        "RFC 7296 sections 2.5 and 3.14",
    ),
)
