"""What stands inside of an Encrypted payload: octets of somebody who has the keys (RFC 7296 section 3.14)."""

from __future__ import annotations

from caponier.doi.ikev2 import EncryptionId, ExchangeType, IntegrityId
from caponier.errors import PeerError
from caponier.mechanisms.algorithms.catalog import message_cipher
from caponier.octets import Secret
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import decode_message, open_message, seal_message
from caponier.protocols.ike.messages.rules import check
from fuzz.framing import seal_octets
from fuzz.telling import require_told
from tests.wire.table import MESSAGES

CIPHERS = (
    message_cipher(EncryptionId.ENCR_AES_GCM_16, 256, None, Secret(bytes(range(36))), None),
    message_cipher(
        EncryptionId.ENCR_AES_CBC,
        128,
        IntegrityId.AUTH_HMAC_SHA2_256_128,
        Secret(bytes(range(16))),
        Secret(bytes(range(32))),
    ),
)
EXCHANGES = (
    ExchangeType.IKE_AUTH,
    ExchangeType.CREATE_CHILD_SA,
    ExchangeType.INFORMATIONAL,
    ExchangeType.IKE_SA_INIT,
)


def seeds() -> dict[str, bytes]:
    """Exchange and direction, the first payload's type, the chain."""
    found: dict[str, bytes] = {}
    for row in MESSAGES:
        chain, first = row.octets[28:], row.octets[16]
        found |= {f"{row.name}-{kind}": bytes((kind, first)) + chain for kind in range(8)}
    return found


def one(octets: bytes) -> None:
    """A message or a PeerError; a message means the same when it is sealed again; changed octets mean nothing."""
    if len(octets) < 2:
        return
    kind, first, content = octets[0], octets[1], octets[2:]
    header = Header(
        spi_i=b"initiate",
        spi_r=b"response",
        exchange=EXCHANGES[kind % 4],
        is_initiator=True,
        is_response=bool(kind & 4),
        message_id=1,
    )
    cipher = CIPHERS[kind >> 3 & 1]
    iv = bytes(cipher.iv_length)
    sealed = seal_octets(header, first, content, cipher, iv)
    try:
        message = open_message(sealed, cipher)
        check(message)
    except PeerError as error:
        require_told(error)
        return
    again = open_message(seal_message(message.header, message.payloads, cipher, iv), cipher)
    assert (again.header, again.payloads, again.is_protected) == (message.header, message.payloads, True)
    assert not decode_message(sealed).is_protected
