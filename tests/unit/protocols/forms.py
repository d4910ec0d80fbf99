"""SAs of every protocol and mode, as manually keyed ones here and as scapy's (``tests.plane.forms``)."""

from __future__ import annotations

from ipaddress import ip_address

from caponier.doi.ikev2 import EncryptionId, IntegrityId, ProtocolId
from caponier.mechanisms.algorithms.suites import ChildSuite
from caponier.octets import Secret
from caponier.protocols.esp import ManualSa
from tests.plane.forms import GATEWAYS, SPI, Form, forms
from tests.plane.suites import EVERY_AH, GCM, Suite

SHA256 = next(suite for suite in EVERY_AH if suite.name == "sha256")
GMAC = next(suite for suite in EVERY_AH if suite.name == "aes128gmac")
CASES = [(form, suite) for form in forms() for suite in ((GCM,) if form.protocol == "esp" else (SHA256, GMAC))]


def manual(form: Form, suite: Suite, *, spi: int = SPI) -> ManualSa:
    """The SA for which ``tests.plane.forms.Peer`` seals and opens."""
    keys = suite.keys(1)
    protocol = ProtocolId.ESP if form.protocol == "esp" else ProtocolId.AH
    encryption = EncryptionId(suite.encryption) if suite.encryption else None
    integrity = IntegrityId(suite.integrity) if suite.integrity else None
    source, destination = map(ip_address, GATEWAYS[form.outer])
    return ManualSa(
        spi,
        ChildSuite(protocol, encryption, suite.key_length or None, integrity, None, esn=form.esn),
        Secret(keys["encryption_key"]),
        Secret(keys["integrity_key"]),
        is_transport=not form.is_tunnel,
        destination=destination if form.is_tunnel else None,
        source=source if form.is_tunnel else None,
    )
