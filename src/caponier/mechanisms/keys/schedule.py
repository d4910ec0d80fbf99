"""The key schedule of IKEv2: SKEYSEED, prf+, KEYMAT (RFC 7296 sections 2.13, 2.14, 2.17 and 2.18)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from caponier.errors import MisuseError
from caponier.mechanisms.algorithms.catalog import cipher, integrity, prf
from caponier.mechanisms.algorithms.packets import integrity_key_octets, packet_cipher
from caponier.mechanisms.algorithms.prf import PrfAlgorithm
from caponier.mechanisms.algorithms.suites import ChildSuite, IkeSuite
from caponier.octets import Secret

_MAX_BLOCKS = 255  #: the counter of prf+ is one octet (RFC 7296 section 2.13)


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The seven keys of an IKE SA (RFC 7296 section 2.14).

    Attributes:
        sk_d: derives the keys of Child SAs and of the next IKE SA.
        sk_ai: integrity of the initiator's messages; empty with an AEAD.
        sk_ar: integrity of the responder's messages; empty with an AEAD.
        sk_ei: encryption of the initiator's messages, with the salt behind it.
        sk_er: encryption of the responder's messages, with the salt behind it.
        sk_pi: the initiator's AUTH payload.
        sk_pr: the responder's AUTH payload.
    """

    sk_d: Secret
    sk_ai: Secret
    sk_ar: Secret
    sk_ei: Secret
    sk_er: Secret
    sk_pi: Secret
    sk_pr: Secret

    def wipe(self) -> None:
        """Overwrite all of them."""
        for field in fields(self):
            getattr(self, field.name).wipe()


@dataclass(frozen=True, slots=True)
class ChildKeys:
    """The keys of a Child SA, by who initiated the exchange that made it (RFC 7296 section 2.17).

    Attributes:
        initiator_encryption: protects what that exchange's initiator sends; the salt is behind the key.
        initiator_integrity: of the same direction; empty with an AEAD.
        responder_encryption: protects what the responder sends.
        responder_integrity: of the same direction.
    """

    initiator_encryption: Secret
    initiator_integrity: Secret
    responder_encryption: Secret
    responder_integrity: Secret

    def wipe(self) -> None:
        """Overwrite all of them."""
        for field in fields(self):
            getattr(self, field.name).wipe()


def prf_plus(function: PrfAlgorithm, key: Secret | bytes, seed: bytes, length: int) -> Secret:
    """``prf+ (K, S) = T1 | T2 | ...`` with ``Tn = prf (K, Tn-1 | S | n)`` (RFC 7296 section 2.13).

    Args:
        function: the negotiated PRF.
        key: K.
        seed: S.
        length: octets that are wanted.

    Raises:
        MisuseError: more than 255 blocks; the RFC defines no more.
    """
    blocks = -(-length // function.output_length)
    if blocks > _MAX_BLOCKS:
        raise MisuseError(f"prf+ makes {_MAX_BLOCKS} blocks at most, {blocks} are wanted")
    stream, block = bytearray(), b""
    for number in range(1, blocks + 1):
        block = function.compute(key, block + seed + bytes((number,)))
        stream += block
    return Secret(stream[:length])


def derive_ike_keys(suite: IkeSuite, shared: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
    """The keys of a new IKE SA (RFC 7296 section 2.14).

    ``SKEYSEED = prf(Ni | Nr, g^ir)``, of the nonces what the PRF takes; then ``prf+ (SKEYSEED, Ni | Nr | SPIi | SPIr)``.

    Args:
        suite: what was negotiated.
        shared: g^ir.
        ni: the initiator's nonce, without payload header.
        nr: the responder's.
        spi_i: the initiator's SPI, 8 octets.
        spi_r: the responder's.
    """
    function = prf(suite.prf)
    with Secret(function.compute(function.seed_key(ni, nr), shared.expose())) as skeyseed:
        return _expand(suite, function, skeyseed, ni + nr + spi_i + spi_r)


def derive_rekeyed_ike_keys(
    suite: IkeSuite,
    old_prf: PrfAlgorithm,
    old_sk_d: Secret,
    shared: Secret,
    ni: bytes,
    nr: bytes,
    spi_i: bytes,
    spi_r: bytes,
    further: Secret | None = None,
) -> IkeKeys:
    """The keys of an IKE SA that replaces another (RFC 7296 section 2.18, RFC 9370 section 2.2.4).

    ``SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr [| SK(1) | ... | SK(n)])`` with the old SA's PRF; the rest with the
    new one's. ``further`` is the secrets of additional key exchanges, one behind the other.
    """
    more = b"" if further is None else further.expose()
    with Secret(old_prf.compute(old_sk_d, shared.expose() + ni + nr + more)) as skeyseed:
        return _expand(suite, prf(suite.prf), skeyseed, ni + nr + spi_i + spi_r)


def derive_further_ike_keys(
    suite: IkeSuite, sk_d: Secret, shared: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """The keys of an IKE SA after an additional key exchange (RFC 9370 section 2.2.2).

    ``SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr)``, then ``prf+ (SKEYSEED(n), Ni | Nr | SPIi | SPIr)``.

    Args:
        suite: what was negotiated.
        sk_d: SK_d(n-1), of the keys that it replaces.
        shared: SK(n), the secret of the additional key exchange.
        ni: the initiator's nonce, without payload header.
        nr: the responder's.
        spi_i: the initiator's SPI, 8 octets.
        spi_r: the responder's.
    """
    return derive_rekeyed_ike_keys(suite, prf(suite.prf), sk_d, shared, ni, nr, spi_i, spi_r)


def mix_ppk(function: PrfAlgorithm, ppk: Secret, keys: IkeKeys) -> IkeKeys:
    """The keys of an IKE SA after a postquantum preshared key was mixed in (RFC 8784 section 3).

    ``SK_d = prf+ (PPK, SK_d')``, and SK_pi and SK_pr in the same way; the other four stay, and are shared with ``keys``.
    """

    def mixed(key: Secret) -> Secret:
        return prf_plus(function, ppk, key.expose(), len(key))

    return replace(keys, sk_d=mixed(keys.sk_d), sk_pi=mixed(keys.sk_pi), sk_pr=mixed(keys.sk_pr))


def _expand(suite: IkeSuite, function: PrfAlgorithm, skeyseed: Secret, seed: bytes) -> IkeKeys:
    encryption = cipher(suite.encryption).key_octets(suite.key_length)
    checksum = 0 if suite.integrity is None else integrity(suite.integrity).key_length
    size = function.key_length
    lengths = (size, checksum, checksum, encryption, encryption, size, size)
    with prf_plus(function, skeyseed, seed, sum(lengths)) as stream:
        return IkeKeys(*stream.split(*lengths))


def derive_child_keys(
    function: PrfAlgorithm,
    sk_d: Secret,
    ni: bytes,
    nr: bytes,
    suite: ChildSuite,
    shared: Secret | None = None,
    further: Secret | None = None,
) -> ChildKeys:
    """The keys of a Child SA: ``KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr [| SK(1) | ... | SK(n)])`` (RFC 7296 section 2.17,
    RFC 9370 section 2.2.4).

    Args:
        function: the IKE SA's PRF.
        sk_d: of the IKE SA.
        ni: the nonce of the exchange's initiator.
        nr: the nonce of its responder.
        suite: what was negotiated.
        shared: g^ir of the exchange's own key exchange, None without one.
        further: the secrets of additional key exchanges, one behind the other; None without any.
    """
    lengths = _child_lengths(suite)
    seed = (b"" if shared is None else shared.expose()) + ni + nr + (b"" if further is None else further.expose())
    with prf_plus(function, sk_d, seed, sum(lengths)) as keymat:
        return ChildKeys(*keymat.split(*lengths))


def _child_lengths(suite: ChildSuite) -> tuple[int, int, int, int]:
    """Encryption before integrity, the initiator's direction before the responder's (RFC 7296 section 2.17)."""
    encryption = 0 if suite.encryption is None else packet_cipher(suite.encryption).key_octets(suite.key_length)
    checksum = 0 if suite.integrity is None else integrity_key_octets(suite.integrity)
    return (encryption, checksum, encryption, checksum)
