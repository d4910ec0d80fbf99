"""Which payloads a message may hold: one table, per exchange and direction (RFC 7296 section 1 and appendix C).

The table is between the chain of payloads and the typed messages of the exchanges: what has passed ``check``
has every payload that its exchange needs, as often as it is allowed to have it.

What the table leaves free, because the RFC does: the order of payloads ("implementations MUST NOT reject as
invalid a message with those payloads in any other order", section 2.5), Notify and Vendor ID payloads
(section 3.10: "or in any other message"; appendix C: "in any place in any message"), and payloads that we do
not know (section 2.5).

Whether a payload must be protected is told once for a whole message, not payload by payload: what stands
unencrypted in a protected message never gets into its decoded form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caponier.doi.ikev2 import ExchangeType, NotifyType, ProtocolId
from caponier.errors import WireError
from caponier.protocols.ike.messages.limits import MAX_PAYLOADS
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import (
    Authentication,
    Certificate,
    CertificateRequest,
    Configuration,
    Delete,
    Eap,
    IdentificationInitiator,
    IdentificationResponder,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
    Unknown,
    VendorId,
)

_ANY = MAX_PAYLOADS  #: as many as a message can hold
_NO_SPI = bytes(8)


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a payload stands in a message.

    Attributes:
        subject: a kind of payload, or one type of notification.
        least: fewest allowed.
        most: most allowed.
    """

    subject: type[Payload] | NotifyType
    least: int = 1
    most: int = 1

    @property
    def name(self) -> str:
        if isinstance(self.subject, NotifyType):
            return f"N({self.subject})"
        return self.subject.__name__

    @property
    def allowed(self) -> str:
        if self.least == self.most:
            return f"{self.least}"
        return f"{self.least} to {self.most}" if self.most < _ANY else f"{self.least} or more"

    def count(self, message: Message) -> int:
        if isinstance(self.subject, NotifyType):
            return sum([notify.type == self.subject for notify in message.all(Notify)])
        return len(message.all(self.subject))


@dataclass(frozen=True, slots=True)
class Form:
    """One form that a message of an exchange may take.

    Attributes:
        story: what the message is about, for logs; completes "the peer's message: …".
        section: where the RFC draws it.
        rules: its payloads; every other kind that we know is refused, but for Notify and Vendor ID.
        when: which messages have this form; the first form that fits is the one.
        is_protected: whether it must be inside of an Encrypted payload, or must not.
        together: kinds that stand there all or not at all.
    """

    story: str
    section: str
    rules: tuple[Rule, ...]
    when: Callable[[Message], bool] = lambda _: True
    is_protected: bool = True
    together: tuple[type[Payload], ...] = ()


def optional(subject: type[Payload]) -> Rule:
    """At most one."""
    return Rule(subject, 0, 1)


def several(subject: type[Payload]) -> Rule:
    """Any number, none included."""
    return Rule(subject, 0, _ANY)


def having(subject: type[Payload] | NotifyType) -> Callable[[Message], bool]:
    """Whether a message has at least one."""
    rule = Rule(subject)
    return lambda message: rule.count(message) > 0


def rekeys_ike(message: Message) -> bool:
    """Whether an SA payload is about an IKE SA: then CREATE_CHILD_SA rekeys it (RFC 7296 section 1.3.2)."""
    return any(sa.proposals[0].protocol == ProtocolId.IKE for sa in message.all(SecurityAssociation))


_CHILD = (SecurityAssociation, TrafficSelectorsInitiator, TrafficSelectorsResponder)
_OPTIONAL_CHILD = tuple(optional(kind) for kind in _CHILD)
_NEW_CHILD = (
    Rule(SecurityAssociation),
    Rule(Nonce),
    optional(KeyExchange),
    Rule(TrafficSelectorsInitiator),
    Rule(TrafficSelectorsResponder),
    optional(Configuration),
)
_NEW_IKE_SA = (Rule(SecurityAssociation), Rule(Nonce), Rule(KeyExchange))

_COOKIE = Form(
    story="asks for the request again, with a cookie",
    section="RFC 7296 section 2.6",
    rules=(Rule(NotifyType.COOKIE),),
    when=having(NotifyType.COOKIE),
    is_protected=False,
)
_REDIRECT = Form(
    story="sends us to another gateway",
    section="RFC 5685 section 3",
    rules=(Rule(NotifyType.REDIRECT),),
    when=lambda message: not message.all(SecurityAssociation) and message.notify(NotifyType.REDIRECT) is not None,
    is_protected=False,
)
_INFORMATION = Form(
    story="tells errors and changes of state, or asks for a sign of life",
    section="RFC 7296 section 1.4",
    rules=(several(Delete), optional(Configuration)),
)

_REQUESTS: dict[int, tuple[Form, ...]] = {
    ExchangeType.IKE_SA_INIT: (
        Form(
            story="offers algorithms, a key exchange value and a nonce for an IKE SA",
            section="RFC 7296 section 1.2",
            rules=_NEW_IKE_SA,
            is_protected=False,
        ),
    ),
    ExchangeType.IKE_SESSION_RESUME: (
        Form(
            story="presents a ticket to resume an IKE SA",
            section="RFC 5723 section 4.3.2",
            rules=(Rule(Nonce), Rule(NotifyType.TICKET_OPAQUE)),
            is_protected=False,
        ),
    ),
    ExchangeType.IKE_INTERMEDIATE: (
        Form(
            story="adds a key exchange before authentication",
            section="RFC 9242 section 3.2",
            rules=(optional(KeyExchange),),
        ),
    ),
    ExchangeType.IKE_AUTH: (
        Form(
            story="names the initiator, proves it unless by EAP, and asks for the first Child SA",
            section="RFC 7296 section 1.2",
            rules=(
                Rule(IdentificationInitiator),
                several(Certificate),
                several(CertificateRequest),
                optional(IdentificationResponder),
                optional(Authentication),  # left out to ask for EAP, section 2.16
                optional(Configuration),
                *_OPTIONAL_CHILD,  # left out by a childless initiation, RFC 6023 section 3
            ),
            when=having(IdentificationInitiator),
            together=_CHILD,
        ),
        Form(
            story="continues EAP",
            section="RFC 7296 section 2.16",
            rules=(Rule(Eap),),
            when=having(Eap),
        ),
        Form(
            story="proves the initiator with the key that EAP made",
            section="RFC 7296 section 2.16",
            rules=(Rule(Authentication),),
        ),
    ),
    ExchangeType.CREATE_CHILD_SA: (
        Form(
            story="rekeys the IKE SA",
            section="RFC 7296 section 1.3.2",
            rules=_NEW_IKE_SA,
            when=rekeys_ike,
        ),
        Form(
            story="rekeys a Child SA",
            section="RFC 7296 section 1.3.3",
            rules=(Rule(NotifyType.REKEY_SA), *_NEW_CHILD),
            when=having(NotifyType.REKEY_SA),
        ),
        Form(
            story="asks for a new Child SA",
            section="RFC 7296 section 1.3.1",
            rules=_NEW_CHILD,
        ),
    ),
    ExchangeType.IKE_FOLLOWUP_KE: (
        Form(
            story="adds a key exchange to a CREATE_CHILD_SA",
            section="RFC 9370 section 2.2.4",
            rules=(Rule(KeyExchange), Rule(NotifyType.ADDITIONAL_KEY_EXCHANGE, 0, 1)),  # without it: STATE_NOT_FOUND
        ),
    ),
    ExchangeType.INFORMATIONAL: (_INFORMATION,),
}

_RESPONSES: dict[int, tuple[Form, ...]] = {
    ExchangeType.IKE_SA_INIT: (
        _COOKIE,
        _REDIRECT,
        Form(
            story="accepts algorithms, with a key exchange value and a nonce",
            section="RFC 7296 section 1.2",
            rules=(*_NEW_IKE_SA, several(CertificateRequest)),
            is_protected=False,
        ),
    ),
    ExchangeType.IKE_SESSION_RESUME: (
        _COOKIE,
        Form(
            story="rejects the ticket",
            section="RFC 5723 section 4.3.2",
            rules=(Rule(NotifyType.TICKET_NACK),),
            when=having(NotifyType.TICKET_NACK),
            is_protected=False,
        ),
        Form(
            story="accepts the ticket",
            section="RFC 5723 section 4.3.2",
            rules=(Rule(Nonce),),
            is_protected=False,
        ),
    ),
    ExchangeType.IKE_INTERMEDIATE: _REQUESTS[ExchangeType.IKE_INTERMEDIATE],
    ExchangeType.IKE_AUTH: (
        Form(
            story="names the responder and starts EAP",
            section="RFC 7296 section 2.16",
            rules=(
                Rule(IdentificationResponder),
                several(Certificate),
                optional(Authentication),  # left out where EAP proves both sides, RFC 5998 section 3
                Rule(Eap),
            ),
            when=lambda message: bool(message.all(Eap) and message.all(IdentificationResponder)),
        ),
        Form(
            story="continues EAP",
            section="RFC 7296 section 2.16",
            rules=(Rule(Eap),),
            when=having(Eap),
        ),
        Form(
            story="names and proves the responder, and answers for the first Child SA",
            section="RFC 7296 section 1.2",
            rules=(
                Rule(IdentificationResponder),
                several(Certificate),
                Rule(Authentication),
                optional(Configuration),
                *_OPTIONAL_CHILD,  # left out where only the Child SA fails, section 1.2
            ),
            when=having(IdentificationResponder),
            together=_CHILD,
        ),
        Form(
            story="proves the responder with the key that EAP made, and answers for the first Child SA",
            section="RFC 7296 section 2.16",
            rules=(Rule(Authentication), optional(Configuration), *_OPTIONAL_CHILD),
            together=_CHILD,
        ),
    ),
    ExchangeType.CREATE_CHILD_SA: (
        Form(
            story="accepts the rekeying of the IKE SA",
            section="RFC 7296 section 1.3.2",
            rules=_NEW_IKE_SA,
            when=rekeys_ike,
        ),
        Form(
            story="accepts a Child SA",
            section="RFC 7296 sections 1.3.1 and 1.3.3",
            rules=_NEW_CHILD,
        ),
    ),
    ExchangeType.IKE_FOLLOWUP_KE: (
        Form(
            story="adds a key exchange to a CREATE_CHILD_SA",
            section="RFC 9370 section 2.2.4",
            rules=(Rule(KeyExchange), Rule(NotifyType.ADDITIONAL_KEY_EXCHANGE, 0, 1)),
        ),
    ),
    ExchangeType.INFORMATIONAL: (_INFORMATION,),
}

#: Exchanges that begin an IKE SA: their requests have no responder's SPI and message id 0 (sections 2.2 and 3.1).
_BEGINNING = frozenset((ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME))
#: What may stand in every message, a refusal included.
_FREE = (Notify, VendorId, Unknown)


def form_of(message: Message) -> Form:
    """The form that a message takes, or tries to take.

    Raises:
        WireError: an exchange type without a row in the table.
    """
    forms = (_RESPONSES if message.is_response else _REQUESTS).get(message.exchange)
    if forms is None:
        raise WireError(
            f"no exchange of ours has the type {message.exchange}",
            field="exchange type",
            section="RFC 7296 section 3.1",
            disposition=message.disposition,
        )
    return next(form for form in forms if form.when(message))


def is_refusal(message: Message) -> bool:
    """Whether a message is a response that only tells errors (RFC 7296 section 2.21)."""
    return (
        message.is_response
        and bool(message.error_notifies)
        and all(isinstance(payload, _FREE) for payload in message.payloads)
    )


def story(message: Message) -> str:
    """One line for a log: ``IKE_AUTH request 1: continues EAP``.

    Raises:
        WireError: an exchange type without a row in the table.
    """
    direction = "response" if message.is_response else "request"
    told = f"{message.exchange} {direction} {message.message_id}"
    if is_refusal(message):
        return f"{told}: refuses with {', '.join(str(notify.type) for notify in message.error_notifies)}"
    return f"{told}: {form_of(message).story}"


def check(message: Message) -> None:
    """Require that a message holds what its exchange asks for, and nothing else.

    A response may instead refuse: with notifications of errors, and none of the payloads of its form.

    Raises:
        WireError: naming payload, exchange, what was found, what is allowed, and the section. Its
            disposition is DROP for messages in clear, CLOSE_SA for authentic ones.
    """
    form = form_of(message)
    _check_protection(message, form)
    if message.exchange in _BEGINNING and not message.is_response:
        _check_beginning(message)
    if is_refusal(message):
        return
    _check_kinds(message, form)
    for rule in form.rules:
        found = rule.count(message)
        if not rule.least <= found <= rule.most:
            raise _violation(message, form, f"{found} {rule.name}, allowed: {rule.allowed}", field=rule.name)
    _check_together(message, form)


def _check_protection(message: Message, form: Form) -> None:
    if message.is_protected != form.is_protected:
        found, allowed = ("protected", "clear") if message.is_protected else ("clear", "protected")
        raise _violation(message, form, f"a message in {found} form, allowed: {allowed}", field="next payload")


def _check_beginning(message: Message) -> None:
    header = message.header
    if header.spi_i == _NO_SPI or header.spi_r != _NO_SPI or header.message_id or not header.is_initiator:
        raise WireError(
            f"{message.exchange} request: begins an IKE SA with SPIs {header.spi_i.hex()} and {header.spi_r.hex()},"
            f" message id {header.message_id}, initiator flag {header.is_initiator:d};"
            " allowed: an initiator's SPI, no responder's, 0, 1",
            field="header",
            section="RFC 7296 sections 2.2 and 3.1",
            disposition=message.disposition,
        )


def _check_kinds(message: Message, form: Form) -> None:
    allowed = (*_FREE, *(rule.subject for rule in form.rules if not isinstance(rule.subject, NotifyType)))
    for payload in message.payloads:
        if not isinstance(payload, allowed):
            name = type(payload).__name__
            raise _violation(message, form, f"{len(message.all(type(payload)))} {name}, allowed: 0", field=name)


def _check_together(message: Message, form: Form) -> None:
    missing = [kind.__name__ for kind in form.together if not message.all(kind)]
    if 0 < len(missing) < len(form.together):
        names = ", ".join(kind.__name__ for kind in form.together)
        raise _violation(message, form, f"0 {missing[0]}, allowed: all of {names} or none of them", field=missing[0])


def _violation(message: Message, form: Form, what: str, *, field: str) -> WireError:
    direction = "response" if message.is_response else "request"
    return WireError(
        f"{message.exchange} {direction} that {form.story}: {what} ({form.section})",
        field=field,
        section=form.section,
        disposition=message.disposition,
    )
