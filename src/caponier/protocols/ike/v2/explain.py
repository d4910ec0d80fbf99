"""Refusals in words: what a peer's error notification means for the person (RFC 7296 section 3.10.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import PeerRejected
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.policy import ChildPolicy, Connection


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a notification is about.

    Attributes:
        text: what the peer says.
        hint: how to mend it.
        setting: relative to the connection, or to the child where ``is_of_child``.
    """

    text: str
    hint: str
    setting: str | None = None
    is_of_child: bool = False


_IKE: dict[int, Meaning] = {
    NotifyType.NO_PROPOSAL_CHOSEN: Meaning(
        "the peer accepts none of our IKE proposals, or knows no connection for our address",
        "compare the IKE proposals and the addresses of both sides",
        "proposals",
    ),
    NotifyType.INVALID_KE_PAYLOAD: Meaning(
        "the peer insists on a key exchange group that we did not offer",
        "offer a group that the peer accepts",
        "proposals",
    ),
    NotifyType.INVALID_SYNTAX: Meaning(
        "the peer could not read our message", "see the peer's log; its software may be too old or broken"
    ),
    NotifyType.INVALID_MAJOR_VERSION: Meaning("the peer does not speak IKEv2", "update the peer, or use version = 1"),
    NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD: Meaning(
        "the peer does not know a payload that it must know", "see the peer's log; its software may be too old"
    ),
    NotifyType.UNACCEPTABLE_ADDRESSES: Meaning(
        "the peer does not want to be spoken to at this address, or from ours",
        "compare the addresses of both sides",
        "remote.address",
    ),
    NotifyType.UNEXPECTED_NAT_DETECTED: Meaning(
        "something on the way to the peer changes our addresses, and the peer knows no NAT traversal",
        "take the NAT away, or let the peer use NAT traversal",
    ),
    NotifyType.SINGLE_PAIR_REQUIRED: Meaning(
        "the peer wants a Child SA for a single pair of addresses",
        "name single addresses in the traffic selectors",
        "local",
        is_of_child=True,
    ),
}

_CHILD: dict[int, Meaning] = {
    NotifyType.NO_PROPOSAL_CHOSEN: Meaning(
        "the peer accepts none of our ESP proposals", "compare the ESP proposals of both sides", "proposals", True
    ),
    NotifyType.INVALID_KE_PAYLOAD: Meaning(
        "the peer insists on a key exchange group that we did not offer",
        "offer a group that the peer accepts",
        "proposals",
        is_of_child=True,
    ),
    NotifyType.TS_UNACCEPTABLE: Meaning(
        "the peer accepts none of our traffic selectors",
        "our local networks must lie in the peer's remote networks, and the other way round",
        "remote",
        is_of_child=True,
    ),
    NotifyType.SINGLE_PAIR_REQUIRED: _IKE[NotifyType.SINGLE_PAIR_REQUIRED],
    NotifyType.NO_ADDITIONAL_SAS: Meaning(
        "the peer takes no more Child SAs on this IKE SA", "put the networks into one child"
    ),
    NotifyType.TEMPORARY_FAILURE: Meaning("the peer cannot do it now", "try again in a minute"),
    NotifyType.STATE_NOT_FOUND: Meaning(
        "the peer has forgotten what our key exchange is about", "try again in a minute"
    ),
    NotifyType.FAILED_CP_REQUIRED: Meaning(
        "the peer wants us to ask for an address (configuration payload)", "see the peer's configuration"
    ),
    NotifyType.INTERNAL_ADDRESS_FAILURE: Meaning("the peer has no address left for us", "enlarge the peer's pool"),
}


def _authentication_failed(connection: Connection) -> Meaning:
    meaning = _proof_failed(connection)
    if connection.ppk is None:
        return meaning
    return replace(meaning, hint=f"{meaning.hint} Does the peer have the same PPK, under the same id?")


def _proof_failed(connection: Connection) -> Meaning:
    if isinstance(connection.local.credential, PresharedKey):
        return Meaning(
            f"the peer does not accept our proof that we are {connection.local.identity.text}",
            "is the pre-shared key the same on both sides, and does the peer expect this identity?",
            "local.secret",
        )
    return Meaning(
        f"the peer does not accept our certificate or our proof that we are {connection.local.identity.text}",
        "does the peer trust our certification authority, and does it expect this identity?",
        "local.id",
    )


def _meaning(notify: Notify, connection: Connection, child: ChildPolicy | None) -> Meaning:
    if notify.type == NotifyType.AUTHENTICATION_FAILED:
        return _authentication_failed(connection)
    table = _IKE if child is None else {**_IKE, **_CHILD}
    unknown = Meaning(f"the peer refused with {notify.type}", "see the peer's log")
    return table.get(notify.type, unknown)


def rejected(
    notify: Notify,
    exchange: ExchangeType,
    connection: Connection,
    *,
    child: ChildPolicy | None = None,
    offered: str | None = None,
    is_protected: bool = True,
) -> PeerRejected:
    """The error for a peer's error notification.

    Args:
        notify: what the peer sent.
        exchange: in which exchange.
        connection: ours.
        child: when only this Child SA is refused.
        offered: what we offered, in the configuration's spelling.
        is_protected: whether the notification is authentic; a forged one is possible otherwise.
    """
    meaning = _meaning(notify, connection, child)
    setting = meaning.setting
    if setting is not None and meaning.is_of_child:
        setting = None if child is None else f"child.{child.name}.{setting}"
    text = f"{exchange}: {meaning.text} ({notify.type})"
    if offered:
        text += f"; we offered {offered}"
    hint = (
        meaning.hint
        if is_protected
        else f"{meaning.hint} (the refusal is unauthenticated: anybody on the way can send one)"
    )
    return PeerRejected(text, notify=int(notify.type), hint=hint, setting=setting, offered=offered)
