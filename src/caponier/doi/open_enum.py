"""Open enumerations: a registry's names, and every other number kept as it came."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Self


class OpenEnum(IntEnum):
    """An :class:`IntEnum` that takes any number of its width.

    A number without a name becomes a nameless member, equal and hashed like its number, and
    survives a round trip. Such members are not kept, so that a stranger cannot make the
    registry grow; compare them with ``==``, never with ``is``. Because of them every ``match``
    on an open enumeration ends with ``case _``.

    A member is declared as one row of its registry: the number, the document that defines it,
    and, where :rfc:`8247` or :rfc:`8221` speak of it, their words for IKE and for ESP and AH::

        ENCR_3DES = 3, "RFC 2451", "MAY", "SHOULD NOT"

    Attributes:
        source: the document that defines this number; empty for a number that we do not know.
        ike: what RFC 8247 says of it for IKEv2 (``"MUST"``, ``"SHOULD+"``, ``"MUST NOT"`` …), or None.
        esp: what RFC 8221 says of it for ESP and AH, or None.
        registry: what the registry is called by those who keep it.
    """

    _bits: ClassVar[int]  #: width on the wire
    registry: ClassVar[str]
    _value_: int
    source: str
    ike: str | None
    esp: str | None

    def __new__(cls, number: int, source: str = "", ike: str | None = None, esp: str | None = None) -> Self:
        member = int.__new__(cls, number)
        member._value_ = number
        member.source = source
        member.ike = ike
        member.esp = esp
        return member

    def __init_subclass__(cls, *, bits: int = 16, registry: str = "", **options: object) -> None:
        super().__init_subclass__(**options)
        cls._bits = bits
        cls.registry = registry or cls.__name__

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value < 1 << cls._bits:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        member.source = ""
        member.ike = None
        member.esp = None
        return member

    @property
    def is_known(self) -> bool:
        """Whether the registry names this number."""
        return self._value_ in type(self)._value2member_map_

    def __str__(self) -> str:
        return self._name_
