"""Timers of IKE SAs: a table for each SA, and one agenda over all of them (RFC 7296 sections 2.1 and 2.4, RFC 3948 section 4).

An instant is a number of monotonic seconds, as the caller's clock counts them; the core only compares instants.
"""

from __future__ import annotations

import heapq
from enum import Enum
from typing import Generic, TypeVar

# Our own.
REKEY_RETRY_SECONDS = 10.0  #: how long we wait after "not now", and up to half as long again
FRESH_SECONDS = 10.0  #: how long the peer may not have read yet that we made a Child SA for it
FRESH_RETRY_SECONDS = 1.0  #: how long we wait until we ask it about that one again
REFUSED_RETRY_SECONDS = 600.0  #: how long we wait after the peer refused a successor for good
REAUTH_RETRY_SECONDS = 30.0  #: how long we wait after a reauthentication that failed, and up to half as long again
FOLLOWUP_SECONDS = 60.0  #: how long the peer has for the next of several key exchanges (RFC 9370 section 2.2.4)
SUCCEEDED_SECONDS = 60.0  #: how long the peer has to delete an IKE SA that was replaced
RETIRED_SECONDS = 5.0  #: how long we receive on a Child SA that was replaced: for packets that are still under way
REASSEMBLY_SECONDS = 30.0  #: how long parts of a message are kept until the others come (RFC 7383 section 2.6)
LINGER_SECONDS = 30.0  #: how long the answer to a peer's Delete is kept for its retransmissions
DOUBT_SECONDS = 10.0  #: how long complaints that anybody may have sent make us ask the peer no second time
SURPLUS_SECONDS = 5.0  #: how long a responder waits for the initiator to delete an IKE SA that both sides made twice


class Timer(Enum):
    """What an IKE SA waits for."""

    RETRANSMIT = "retransmit"  #: When to send our outstanding request again, or to give up (RFC 7296 section 2.4).
    HALF_OPEN = "half-open"  #: When to forget a peer that did not authenticate itself.
    LIVENESS = "liveness"  #: When to ask a silent peer for a sign of life (RFC 7296 section 2.4).
    NAT_KEEPALIVE = "nat-keepalive"  #: When to refresh the mapping of the NAT before us (RFC 3948 section 4).
    SURPLUS = "surplus"  #: When to delete an IKE SA that both sides made twice.
    REKEY = "rekey"  #: When to replace a Child SA, or to ask again after "not now" (RFC 7296 sections 2.8 and 2.25).
    EXPIRE = "expire"  #: When to delete a Child SA that lasted as long as it may (RFC 4301 section 4.4.2.1).
    REKEY_IKE = "rekey-ike"  #: When to rekey the IKE SA.
    REAUTH = "reauth"  #: When to authenticate anew, or to end an IKE SA whose peer did not (RFC 4478).
    SUCCEEDED = "succeeded"  #: When to delete an IKE SA that was replaced and that the peer was to delete.
    RETIRED = "retired"  #: When to stop receiving on Child SAs that were replaced.
    FOLLOWUP = "followup"  #: When to give up exchanges whose next key exchange does not come (RFC 9370 section 2.2.4).
    REASSEMBLY = "reassembly"  #: When to discard the fragments of an incomplete message (RFC 7383 section 2.6).
    LINGER = "linger"  #: When to forget a closed SA and its last answer (RFC 7296 section 2.1).


class TimerTable:
    """The timers of one IKE SA: each runs at most once."""

    __slots__ = ("_instants",)

    def __init__(self) -> None:
        self._instants: dict[Timer, float] = {}

    def __len__(self) -> int:
        return len(self._instants)

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._instants

    def set(self, timer: Timer, at: float) -> None:
        """Run ``timer`` at an instant, and no more at the one before."""
        self._instants[timer] = at

    def stop(self, timer: Timer) -> None:
        self._instants.pop(timer, None)

    def stop_all(self) -> None:
        self._instants.clear()

    def next(self) -> float | None:
        """The earliest instant; None when no timer runs."""
        return min(self._instants.values(), default=None)

    def expired(self, now: float) -> list[Timer]:
        """Stop the timers whose instant has come, and return them, the earliest first."""
        due = sorted((at, timer.value) for timer, at in self._instants.items() if at <= now)
        timers = [Timer(value) for _, value in due]
        for timer in timers:
            del self._instants[timer]
        return timers


K = TypeVar("K", bound=object)


class Agenda(Generic[K]):
    """When which of many keys is due: a heap whose outdated entries are skipped.

    Entering a key again moves it. The heap is rebuilt when most of it is outdated, so it stays
    proportional to the number of keys.
    """

    __slots__ = ("_due", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._due: dict[K, tuple[float, int]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._due)

    def enter(self, key: K, at: float | None) -> None:
        """Let ``key`` be due at an instant; None for never."""
        if at is None:
            self._due.pop(key, None)
            return
        current = self._due.get(key)
        if current is not None and current[0] == at:
            return
        self._sequence += 1
        self._due[key] = (at, self._sequence)
        heapq.heappush(self._heap, (at, self._sequence, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._rebuild()

    def next(self) -> float | None:
        """The earliest instant at which a key is due."""
        self._skip_outdated()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> K | None:
        """Take out the earliest key whose instant has come; None when none has."""
        self._skip_outdated()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        return key

    def _skip_outdated(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)

    def _rebuild(self) -> None:
        self._heap = [(at, sequence, key) for key, (at, sequence) in self._due.items()]
        heapq.heapify(self._heap)
