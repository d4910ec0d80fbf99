"""What a handshake costs its responder: IKE_SA_INIT and IKE_AUTH with one Child SA, in the core alone."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

from bench.ike.parties import Kind, Party, converse, gateways, peers

WARM_UP = 20  #: handshakes before the first that counts
SAMPLE_SECONDS = 0.001  #: of CPU time, between two looks at what the core is doing

#: By the first that is in the name of the file: what its time is spent on.
GROUPS = (
    ("mechanisms/algorithms", "cryptography"),
    ("mechanisms/authentication/psk", "cryptography"),
    ("mechanisms/authentication/signatures", "cryptography"),
    ("mechanisms/keys", "cryptography"),
    ("mechanisms/authentication", "certificates and identities"),
    ("mechanisms/negotiation", "negotiation"),
    ("doi", "codec"),
    ("octets.py", "codec"),
    ("ike/messages", "codec"),
    ("protocols/ike", "core"),
)
REST = "the rest"


@dataclass
class Figures:
    """What was measured of one kind.

    Attributes:
        milliseconds: of CPU time for a handshake, the responder's, of each round.
        shares: of that time, by what it is spent on.
    """

    milliseconds: list[float] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)


class Bench:
    """A gateway and peers of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._others = Party()
        self._gateway = Party()
        self._gateway.endpoint.add_connection(gateways(kind))
        self._count = 0
        self.figures = Figures()
        self._shake(WARM_UP)

    def round(self, handshakes: int) -> None:
        """Measure so many."""
        before = self._gateway.nanoseconds
        self._shake(handshakes)
        self.figures.milliseconds.append((self._gateway.nanoseconds - before) / handshakes / 1e6)

    def sample(self, handshakes: int) -> None:
        """Look where the time goes, at intervals of CPU time: unlike a tracer, it makes nothing slower than the rest."""
        seen: Counter[str] = Counter()

        def look(_signal: int, frame: FrameType | None) -> None:
            if self._gateway.is_working:
                seen[_group(frame)] += 1

        former = signal.signal(signal.SIGPROF, look)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
        try:
            self._shake(handshakes)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, former)
        total = max(1, seen.total())
        self.figures.shares = {name: count / total for name, count in seen.most_common()}

    def _shake(self, handshakes: int) -> None:
        for _ in range(handshakes):
            number, self._count = self._count, self._count + 1
            name = f"peer{number}"
            self._others.endpoint.add_connection(peers(self._kind, number))
            converse(self._gateway, self._others, self._others.initiate(number, 0.0), 0.0)
            established = self._gateway.endpoint.sa_count
            if established != 1:
                raise RuntimeError(f"{self._kind.name}: {established} IKE SAs stand after a handshake, not one")
            # Both ends forget it, so that each handshake finds the same.
            self._others.endpoint.terminate(name, 0.0)
            self._farewell(number)

    def _farewell(self, number: int) -> None:
        """The peer's Delete costs something too, which is not the handshake's."""
        counted = self._gateway.nanoseconds
        converse(self._gateway, self._others, self._others.wake(0.0), 0.0)
        self._gateway.wake(60.0)  # the last answer lingers no longer
        self._others.wake(60.0)
        self._others.endpoint.remove_connection(f"peer{number}", 60.0)
        self._gateway.nanoseconds = counted


def _group(frame: FrameType | None) -> str:
    """What the innermost function of Caponier's is about."""
    while frame is not None:
        name = frame.f_code.co_filename
        if "/caponier/" in name:
            return next((group for part, group in GROUPS if part in name), REST)
        frame = frame.f_back
    return REST
