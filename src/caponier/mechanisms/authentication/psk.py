"""Authentication with a preshared key (RFC 7296 section 2.15)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from caponier.errors import AuthenticationFailed
from caponier.mechanisms.algorithms.prf import PrfAlgorithm
from caponier.mechanisms.authentication.evidence import PeerAuthenticated
from caponier.mechanisms.authentication.identity import Identity
from caponier.octets import Secret

KEY_PAD = b"Key Pad for IKEv2"
METHOD = "psk"


@dataclass(frozen=True, slots=True)
class PresharedKey:
    """A secret that both sides were given beforehand."""

    secret: Secret


def compute_psk_auth(prf: PrfAlgorithm, key: PresharedKey, octets: bytes) -> bytes:
    """``AUTH = prf( prf(Shared Secret, "Key Pad for IKEv2"), <SignedOctets>)`` (RFC 7296 section 2.15)."""
    return prf.compute(prf.compute(key.secret, KEY_PAD), octets)


def verify_psk_auth(
    prf: PrfAlgorithm,
    key: PresharedKey,
    octets: bytes,
    auth: bytes,
    identity: Identity,
    *,
    setting: str = "local.secret",
) -> PeerAuthenticated:
    """Check the peer's AUTH payload against our key.

    Args:
        prf: the negotiated PRF.
        key: what we share with the peer.
        octets: what the peer's AUTH covers.
        auth: the AUTH payload's data.
        identity: whose it is.
        setting: the configuration key that our key is from.

    Raises:
        AuthenticationFailed: the peer used another key.
    """
    if not hmac.compare_digest(compute_psk_auth(prf, key, octets), auth):
        raise AuthenticationFailed(
            f"{identity.text} used another preshared key than ours",
            section="RFC 7296 section 2.15",
            hint="give both sides the same secret; a file's last newline does not count, all else does",
            setting=setting,
        )
    return PeerAuthenticated(identity, METHOD)
