"""Stateless cookies against floods of half-open IKE SAs (RFC 7296 section 2.6)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from caponier.octets import Secret
from caponier.protocols.ike.policy import IpAddress

# Our own: "the cookie ... SHOULD change secrets frequently" is all that section 2.6 says.
ROTATION_SECONDS = 60.0  #: a cookie is good for one to two of these
_SECRET_LENGTH = 32  #: octets


class CookieJar:
    """Makes cookies and knows its own again, without keeping any.

    ``Cookie = <VersionIDofSecret> | Hash(Ni | IPi | SPIi | <secret>)``, with HMAC-SHA-256 as the hash. The
    secret is renewed when one is needed and the last is old; the one before is still accepted.
    """

    __slots__ = ("_born", "_current", "_previous", "_rng", "_version")

    def __init__(self, rng: Callable[[int], bytes]) -> None:
        self._rng = rng
        self._version = 0
        self._current = Secret(rng(_SECRET_LENGTH))
        self._previous: Secret | None = None
        self._born: float | None = None

    def bake(self, ni: bytes, address: IpAddress, spi_i: bytes, now: float) -> bytes:
        """A cookie for the sender of an IKE_SA_INIT request; 33 octets."""
        self._rotate(now)
        return self._cookie(self._version, self._current, ni, address, spi_i)

    def recognizes(self, cookie: bytes, ni: bytes, address: IpAddress, spi_i: bytes, now: float) -> bool:
        """Whether we made this cookie for this sender, lately. Takes the same time for every wrong one."""
        self._rotate(now)
        genuine = hmac.compare_digest(cookie, self._cookie(self._version, self._current, ni, address, spi_i))
        if self._previous is not None:
            former = self._cookie(self._version - 1, self._previous, ni, address, spi_i)
            genuine |= hmac.compare_digest(cookie, former)
        return genuine

    def _rotate(self, now: float) -> None:
        if self._born is None:
            self._born = now
        age = now - self._born
        if age < ROTATION_SECONDS:
            return
        self._previous = self._current if age < 2 * ROTATION_SECONDS else None
        self._current = Secret(self._rng(_SECRET_LENGTH))
        self._version += 1
        self._born = now

    @staticmethod
    def _cookie(version: int, secret: Secret, ni: bytes, address: IpAddress, spi_i: bytes) -> bytes:
        # All parts but Ni have a fixed length once the address family is known; Ni stands last, so no two
        # inputs run together.
        covered = bytes((address.version,)) + address.packed + spi_i + ni
        return (version & 0xFF).to_bytes(1) + hmac.digest(secret.expose(), covered, hashlib.sha256)
