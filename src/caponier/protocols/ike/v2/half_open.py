"""What strangers may make us keep: half-open IKE SAs, remembered refusals, unprotected answers (RFC 7296 sections 2.1, 2.6, 2.21)."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Hashable
from ipaddress import IPv6Address, ip_network

from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import IpAddress, Limits

# Our own limits.
_ANSWERS_PER_SECOND = 100.0  #: unprotected answers to strangers, after a burst of as many
_REFUSALS_KEPT = 256
_UNPROVEN_SHARE = 4  #: the part of what one address may have that is given without a cookie: one in so many


def origin(address: IpAddress) -> Hashable:
    """Whom an address is counted for: itself, or its /64, since an IPv6 host can speak from all of one."""
    if isinstance(address, IPv6Address):
        return ip_network((address, 64), strict=False)
    return address


class HalfOpen:
    """Counts the IKE SAs whose initiators have not authenticated themselves yet.

    Args:
        limits: how many are allowed.
    """

    __slots__ = ("_by_origin", "_limits", "total")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_origin: Counter[Hashable] = Counter()
        self.total = 0

    def demands_cookie(self, address: IpAddress) -> bool:
        """Whether there are so many, in all or from this address, that only who can be reached there gets one more.

        Without the second, somebody who only pretends to be a peer could use up all that the peer's address may have.
        """
        from_there = self._by_origin[origin(address)]
        return (
            self.total >= self._limits.cookie_threshold
            or _UNPROVEN_SHARE * from_there >= self._limits.half_open_per_address
        )

    def refusal(self, address: IpAddress) -> str | None:
        """Why one more from this address is too much; None when it is welcome."""
        if self.total >= self._limits.half_open:
            return "half-open-limit"
        if self._by_origin[origin(address)] >= self._limits.half_open_per_address:
            return "half-open-limit-per-address"
        return None

    def enter(self, address: IpAddress) -> None:
        self._by_origin[origin(address)] += 1
        self.total += 1

    def leave(self, address: IpAddress) -> None:
        key = origin(address)
        self._by_origin[key] -= 1
        if not self._by_origin[key]:
            del self._by_origin[key]  # a Counter keeps zeros: strangers would make it grow
        self.total -= 1


class AnswerBudget:
    """How many unprotected answers strangers get: a bucket that refills (section 2.21.4: "rate-limited")."""

    __slots__ = ("_filled", "_left")

    def __init__(self) -> None:
        self._left = _ANSWERS_PER_SECOND
        self._filled: float | None = None

    def is_spent(self, now: float) -> bool:
        """Whether no answer may be sent now."""
        self._refill(now)
        return self._left < 1

    def take(self, now: float) -> bool:
        """Whether one more answer may be sent now; it counts as sent."""
        if self.is_spent(now):
            return False
        self._left -= 1
        return True

    def _refill(self, now: float) -> None:
        if self._filled is not None:
            refill = (now - self._filled) * _ANSWERS_PER_SECOND
            self._left = min(_ANSWERS_PER_SECOND, self._left + refill)
        self._filled = now


class Refusals:
    """The last refusals of IKE_SA_INIT requests, so that a retransmission gets the same and is reported once."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[Path, bytes], bytes] = OrderedDict()

    def remember(self, path: Path, request: bytes, answer: bytes) -> None:
        self._answers[path, _digest(request)] = answer
        if len(self._answers) > _REFUSALS_KEPT:
            self._answers.popitem(last=False)

    def find(self, path: Path, request: bytes) -> bytes | None:
        return self._answers.get((path, _digest(request)))

    def forget_all(self) -> None:
        """The configuration has changed: what was refused may be welcome now."""
        self._answers.clear()


def _digest(request: bytes) -> bytes:
    """A name for a request that is short even where the request is long."""
    return hashlib.sha256(request).digest()
