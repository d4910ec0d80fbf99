"""Amounts as people write them: ``"10 GiB"``, ``"8h"``; a plain number counts octets, packets or seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator

MOST = (1 << 63) - 1  #: of octets or packets
LONGEST = 366 * 86_400  #: seconds

_OCTETS: Mapping[str, int] = MappingProxyType(
    {
        "": 1,
        "B": 1,
        **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", start=1)},
        **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
    }
)
_SECONDS: Mapping[str, int] = MappingProxyType({"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400})
_AMOUNT = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")


def octets(value: object) -> int:
    """Octets, as ``10_000_000`` or ``"10 GiB"``.

    Raises:
        ValueError: it is no amount of octets.
    """
    return int(_amount(value, _OCTETS, MOST, 'octets: a number, or a text such as "10 GiB"'))


def seconds(value: object) -> float:
    """Seconds, as ``3600`` or ``"8h"``.

    Raises:
        ValueError: it is no time.
    """
    return float(_amount(value, _SECONDS, LONGEST, 'a time: seconds, or a text such as "8h", "30 min", "1d"'))


def _amount(value: object, units: Mapping[str, int], most: int, wanted: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number, unit = (str(value), "") if is_number else _parts(value)
    factor = units.get(unit)
    if factor is None or not re.fullmatch(r"[0-9.]+", number):
        raise ValueError(f"this has to be {wanted}")
    # Whole numbers stay whole: a float is exact up to 2**53 only.
    amount = int(number) * factor if number.isdecimal() else float(number) * factor
    if amount > most:
        raise ValueError(f"this has to be {most} at most")
    return amount


def _parts(value: object) -> tuple[str, str]:
    """Number and unit of a text; nothing of what is none."""
    found = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    return ("", "") if found is None else (found[1], found[2])


Octets = Annotated[int, BeforeValidator(octets)]
Seconds = Annotated[float, BeforeValidator(seconds)]
