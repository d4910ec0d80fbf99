"""Configuration payload (RFC 7296 section 3.15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import ConfigAttributeType, ConfigType, PayloadType
from caponier.errors import WireError
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.limits import MAX_CONFIGURATION_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class ConfigurationAttribute:
    """One attribute of a CP payload (RFC 7296 section 3.15.1).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |R|         Attribute Type      |            Length             |
       ~                             Value                             ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        type: 15 bits.
        value: as it came; its length is for whoever takes the attribute, since a peer's odd attribute is
            ignored like an unknown one (section 3.15.1) and does not end the exchange.
    """

    type: ConfigAttributeType
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Configuration:
    """CP payload body (RFC 7296 section 3.15).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |   CFG Type    |                    RESERVED                   |
       ~                   Configuration Attributes                    ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        type: request, reply, set or acknowledgement.
        attributes: zero or more.
    """

    TYPE: ClassVar = PayloadType.CP
    type: ConfigType
    attributes: tuple[ConfigurationAttribute, ...] = ()

    @classmethod
    def decode(cls, r: Reader) -> Self:
        config_type = ConfigType(r.u8("CFG type"))
        r.octets(3, "reserved")  # ignored on receipt, section 2.5
        attributes: list[ConfigurationAttribute] = []
        while r.remaining:
            if len(attributes) == MAX_CONFIGURATION_ATTRIBUTES:
                raise WireError(f"{r.what}: more than {MAX_CONFIGURATION_ATTRIBUTES} attributes", field="attributes")
            # The R bit "MUST be ignored on receipt", section 3.15.1.
            attribute_type = ConfigAttributeType(r.u16("attribute type") & 0x7FFF)
            attributes.append(ConfigurationAttribute(attribute_type, r.octets(r.u16("attribute length"), "value")))
        return cls(config_type, tuple(attributes))

    def encode(self, w: Writer) -> None:
        w.u8(self.type).octets(bytes(3))
        for attribute in self.attributes:
            w.u16(attribute.type).u16(len(attribute.value)).octets(attribute.value)
