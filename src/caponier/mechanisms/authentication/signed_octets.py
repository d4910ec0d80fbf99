"""What AUTH payloads cover (RFC 7296 section 2.15)."""

from __future__ import annotations

from caponier.mechanisms.algorithms.prf import PrfAlgorithm
from caponier.octets import Secret


def signed_octets(
    message: bytes, peer_nonce: bytes, prf: PrfAlgorithm, sk_p: Secret, id_body: bytes, int_auth: bytes = b""
) -> bytes:
    """``RealMessage | NonceData | MACedID [| IntAuth]`` (RFC 7296 section 2.15, RFC 9242 section 3.3.2).

    Args:
        message: the signer's own IKE_SA_INIT message, its last one if there were several, from the first octet of
            the header to the last of the last payload.
        peer_nonce: the other side's nonce, without payload header.
        prf: the negotiated PRF.
        sk_p: SK_pi for the initiator's AUTH, SK_pr for the responder's.
        id_body: the signer's ID payload without its generic header.
        int_auth: what the IKE_INTERMEDIATE exchanges add; empty without any.
    """
    return message + peer_nonce + prf.compute(sk_p, id_body) + int_auth
