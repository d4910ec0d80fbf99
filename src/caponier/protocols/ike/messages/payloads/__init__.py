"""One class for each payload of IKEv2 (RFC 7296 sections 3.3 to 3.16, RFC 7383 section 2.5)."""

from __future__ import annotations

from caponier.protocols.ike.messages.payloads.auth import Authentication
from caponier.protocols.ike.messages.payloads.certificate import Certificate, CertificateRequest
from caponier.protocols.ike.messages.payloads.configuration import Configuration, ConfigurationAttribute
from caponier.protocols.ike.messages.payloads.delete import Delete
from caponier.protocols.ike.messages.payloads.eap import Eap
from caponier.protocols.ike.messages.payloads.encrypted import Encrypted, EncryptedFragment
from caponier.protocols.ike.messages.payloads.identification import (
    Identification,
    IdentificationInitiator,
    IdentificationResponder,
    identification_body,
)
from caponier.protocols.ike.messages.payloads.ke import KeyExchange
from caponier.protocols.ike.messages.payloads.nonce import MAX_NONCE, MIN_NONCE, Nonce
from caponier.protocols.ike.messages.payloads.notify import Notify
from caponier.protocols.ike.messages.payloads.sa import SecurityAssociation
from caponier.protocols.ike.messages.payloads.traffic_selectors import (
    TrafficSelectors,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
    UnknownTrafficSelector,
)
from caponier.protocols.ike.messages.payloads.unknown import Unknown
from caponier.protocols.ike.messages.payloads.vendor import VendorId

#: A payload whose body tells all; the chain decodes these by their type.
PlainPayload = (
    SecurityAssociation
    | KeyExchange
    | IdentificationInitiator
    | IdentificationResponder
    | Certificate
    | CertificateRequest
    | Authentication
    | Nonce
    | Notify
    | Delete
    | VendorId
    | TrafficSelectorsInitiator
    | TrafficSelectorsResponder
    | Configuration
    | Eap
)

#: Any payload of a message.
Payload = PlainPayload | Encrypted | EncryptedFragment | Unknown

__all__ = [
    "MAX_NONCE",
    "MIN_NONCE",
    "Authentication",
    "Certificate",
    "CertificateRequest",
    "Configuration",
    "ConfigurationAttribute",
    "Delete",
    "Eap",
    "Encrypted",
    "EncryptedFragment",
    "Identification",
    "IdentificationInitiator",
    "IdentificationResponder",
    "KeyExchange",
    "Nonce",
    "Notify",
    "Payload",
    "PlainPayload",
    "SecurityAssociation",
    "TrafficSelectors",
    "TrafficSelectorsInitiator",
    "TrafficSelectorsResponder",
    "Unknown",
    "UnknownTrafficSelector",
    "VendorId",
    "identification_body",
]
