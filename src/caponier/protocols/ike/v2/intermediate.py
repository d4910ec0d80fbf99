"""What the IKE_INTERMEDIATE exchanges of an IKE SA leave behind: what is still to do, and what AUTH covers (RFC 9242)."""

from __future__ import annotations

from collections.abc import Iterable

from caponier.doi.ikev2 import KeyExchangeId
from caponier.errors import WireError
from caponier.mechanisms.algorithms.catalog import prf
from caponier.protocols.ike.v2.protection import Protection

_FIRST_MESSAGE_ID = 1  #: "it is set to 1 for the first IKE_INTERMEDIATE exchange, 2 for the next" (section 3.2)


class Intermediate:
    """The IKE_INTERMEDIATE exchanges of one IKE SA: IKE_SA_INIT says which there will be, so that nobody can make more.

    Args:
        methods: the additional key exchanges, one for each round, in order (RFC 9370 section 2.2.2).
    """

    __slots__ = ("_by_initiator", "_by_responder", "_rounds", "remaining", "sent")

    def __init__(self, methods: Iterable[KeyExchangeId] = ()) -> None:
        self.remaining = list(methods)
        self.sent = b""  #: what AUTH covers of the last message that we sealed
        self._rounds = 0
        self._by_initiator = b""
        self._by_responder = b""

    def extend(self, protection: Protection, *, by_initiator: bytes, by_responder: bytes) -> None:
        """A round is complete: ``IntAuth_n = prf(SK_pn, IntAuth_n-1 | IntAuth_nA | IntAuth_nP)`` (section 3.3.2).

        Args:
            protection: with the keys that the round began with.
            by_initiator: what is covered of its request.
            by_responder: the same of its response.
        """
        function, keys = prf(protection.suite.prf), protection.keys
        self._by_initiator = function.compute(keys.sk_pi, self._by_initiator + by_initiator)
        self._by_responder = function.compute(keys.sk_pr, self._by_responder + by_responder)
        self._rounds += 1

    def int_auth(self) -> bytes:
        """``IntAuth_iN | IntAuth_rN | IKE_AUTH_MID``; empty where there was no round."""
        if not self._rounds:
            return b""
        return self._by_initiator + self._by_responder + (_FIRST_MESSAGE_ID + self._rounds).to_bytes(4)

    def require_complete(self) -> None:
        """Require that nothing is left to do: the exchanges "MUST all be completed before the IKE_AUTH exchange".

        Raises:
            WireError: a round is missing.
        """
        if self.remaining:
            raise WireError(
                f"IKE_AUTH, and the key exchange {self.remaining[0].name} was agreed on and not done",
                field="exchange type",
                section="RFC 9370 section 2.2.2",
            )
