"""When a postquantum preshared key is used, in both roles (RFC 8784 section 3).

::

    HDR, SAi1, KEi, Ni, N(USE_PPK)  -->
                                    <--  HDR, SAr1, KEr, Nr, N(USE_PPK)
    HDR, SK {IDi, AUTH, ..., N(PPK_IDENTITY, PPK_ID), [N(NO_PPK_AUTH)]}  -->
                                    <--  HDR, SK {IDr, AUTH, ..., N(PPK_IDENTITY)}

The key goes into SK_d and into what AUTH proves, not into the keys that protect these messages. Where it is not required,
the initiator proves itself in both ways, and the responder takes the one that it can verify.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import NotifyType
from caponier.errors import AuthenticationFailed, PeerRejected
from caponier.mechanisms.algorithms.catalog import prf
from caponier.mechanisms.authentication.ppk import Ppk
from caponier.mechanisms.keys.schedule import IkeKeys, mix_ppk
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Authentication, Notify
from caponier.protocols.ike.policy import Connection

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

_SECTION = "RFC 8784 section 3"


def announcement(connections: Iterable[Connection]) -> tuple[Notify, ...]:
    """``[N(USE_PPK)]``, where there is a PPK for the peer."""
    return (Notify(NotifyType.USE_PPK),) if any(each.ppk is not None for each in connections) else ()


def agreed(message: Message, connections: Iterable[Connection]) -> bool:
    """Whether both sides have one."""
    return message.notify(NotifyType.USE_PPK) is not None and bool(announcement(connections))


def require_agreed(message: Message, connection: Connection) -> bool:
    """Whether both sides have one, by a reply to IKE_SA_INIT.

    Raises:
        PeerRejected: the peer has none, and ours is required. Nothing protects the reply: it may be somebody else's.
    """
    is_agreed = agreed(message, (connection,))
    if connection.ppk is not None and connection.ppk.required and not is_agreed:
        raise PeerRejected(
            "IKE_SA_INIT: the peer has no postquantum preshared key for us, and ours is required",
            notify=int(NotifyType.USE_PPK),
            hint="give the peer the same PPK, or set required = false",
            setting="ppk",
        )
    return is_agreed


def mix(sa: IkeSa, ppk: Ppk) -> IkeKeys:
    """Mix a PPK into the keys of an IKE SA; returns those from before."""
    plain = sa.protector.keys
    sa.protector.keys = mix_ppk(prf(sa.protector.suite.prf), ppk.secret, plain)
    return plain


def conclude(sa: IkeSa, connection: Connection, plain: IkeKeys | None, reply: Message) -> None:
    """As initiator, go on with the keys that the peer's reply tells of.

    Args:
        sa: with the PPK mixed in.
        connection: whose PPK it is.
        plain: the keys without it; None where none is used.
        reply: to IKE_AUTH.

    Raises:
        AuthenticationFailed: the peer goes on without it, and it is required.
    """
    if plain is None:
        return
    if reply.notify(NotifyType.PPK_IDENTITY) is not None:
        sa.quantum = sa.quantum.with_ppk()
        _forget(plain)
        return
    if connection.ppk is not None and connection.ppk.required:
        raise _failed("the peer goes on without the postquantum preshared key, which is required", connection)
    _forget(sa.protector.keys)
    sa.protector.keys = plain


def _forget(keys: IkeKeys) -> None:
    """Wipe those keys that are different with and without the PPK; the others are still in use."""
    for key in (keys.sk_d, keys.sk_pi, keys.sk_pr):
        key.wipe()


def choose(sa: IkeSa, connection: Connection, message: Message, *, is_agreed: bool) -> Authentication:
    """As responder, mix the PPK in that the peer names; returns the proof that is to be verified (table 1).

    Raises:
        AuthenticationFailed: nothing that both sides could use.
    """
    authentication, ppk = message.one(Authentication), connection.ppk
    if not is_agreed:
        if ppk is not None and ppk.required:
            raise _failed("the peer uses no postquantum preshared key, which is required", connection)
        return authentication
    named = message.notify(NotifyType.PPK_IDENTITY)
    if named is None:
        raise _failed("the peer wants to use a postquantum preshared key, and names none", connection)
    if ppk is not None and ppk.is_called(named.data):
        _forget(mix(sa, ppk))
        sa.quantum = sa.quantum.with_ppk()
        return authentication
    without = message.notify(NotifyType.NO_PPK_AUTH)
    if without is None or (ppk is not None and ppk.required):
        raise _failed("the peer names a postquantum preshared key that we do not have", connection)
    return Authentication(authentication.method, without.data)


def confirmation(sa: IkeSa) -> tuple[Notify, ...]:
    """``[N(PPK_IDENTITY)]`` of the responder: the PPK is in use."""
    return (Notify(NotifyType.PPK_IDENTITY),) if sa.quantum.has_ppk else ()


def suspect(sa: IkeSa, error: AuthenticationFailed) -> None:
    """A proof is wrong: where a PPK is mixed in, that may be the cause as well."""
    if sa.quantum.has_ppk:
        error.hint = f"{error.hint or 'compare both sides'}; the PPK is a part of the proof: it has to be the same too"


def _failed(why: str, connection: Connection) -> AuthenticationFailed:
    return AuthenticationFailed(
        why,
        section=_SECTION,
        hint="give both sides a PPK of the same id, or set required = false on both",
        setting="ppk" if connection.ppk is not None else None,
    )
