"""The alphabet: a bounded reader and a writer of octets in network byte order, and a box for secrets."""

from __future__ import annotations

import hmac
from types import TracebackType
from typing import NoReturn, Self

from caponier.errors import WireError


class Reader:
    """Reads a bounded run of octets; every shortfall is a :class:`WireError` that names the field.

    A reader only moves forward and never past its end, so a parser that consumes at least
    one octet in each turn of a loop always terminates.

    Args:
        octets: what to read.
        what: the name of the structure, for error messages ("KE payload").
    """

    __slots__ = ("_end", "_octets", "_position", "what")

    def __init__(self, octets: bytes | bytearray | memoryview, what: str = "message") -> None:
        self._octets = bytes(octets)  # a copy of a part costs less than a view of it: parts are short
        self._position = 0
        self._end = len(self._octets)
        self.what = what

    @property
    def remaining(self) -> int:
        """Octets that are left."""
        return self._end - self._position

    @property
    def position(self) -> int:
        """Octets read so far."""
        return self._position

    def u8(self, field: str) -> int:
        return self._take(1, field)[0]

    def u16(self, field: str) -> int:
        return int.from_bytes(self._take(2, field))

    def u32(self, field: str) -> int:
        return int.from_bytes(self._take(4, field))

    def u64(self, field: str) -> int:
        return int.from_bytes(self._take(8, field))

    def octets(self, count: int, field: str) -> bytes:
        """The next ``count`` octets, as a copy."""
        return self._take(count, field)

    def rest(self) -> bytes:
        """All octets that are left; may be empty."""
        return self._take(self._end - self._position, "rest")

    def sub(self, count: int, what: str) -> Reader:
        """A reader of its own for the next ``count`` octets."""
        return Reader(self._take(count, what), what)

    def end(self) -> None:
        """Require that nothing is left.

        Raises:
            WireError: octets are left over.
        """
        if self._position != self._end:
            raise WireError(f"{self.what}: {self.remaining} octets too many")

    def _take(self, count: int, field: str) -> bytes:
        start = self._position
        end = start + count
        if count < 0 or end > self._end:
            raise WireError(f"{self.what}: {field} needs {count} octets, {self.remaining} are left", field=field)
        self._position = end
        return self._octets[start:end]


class Writer:
    """Collects octets in network byte order; every method returns the writer."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    def __len__(self) -> int:
        return len(self._octets)

    def u8(self, value: int) -> Self:
        return self.octets(value.to_bytes(1))

    def u16(self, value: int) -> Self:
        return self.octets(value.to_bytes(2))

    def u32(self, value: int) -> Self:
        return self.octets(value.to_bytes(4))

    def u64(self, value: int) -> Self:
        return self.octets(value.to_bytes(8))

    def octets(self, octets: bytes | bytearray | memoryview) -> Self:
        self._octets += octets
        return self

    def patch_u16(self, position: int, value: int) -> Self:
        """Overwrite two octets at ``position``: for a length that is known only at the end."""
        self._octets[position : position + 2] = value.to_bytes(2)
        return self

    def patch_u32(self, position: int, value: int) -> Self:
        """Overwrite four octets at ``position``."""
        self._octets[position : position + 4] = value.to_bytes(4)
        return self

    def finish(self) -> bytes:
        return bytes(self._octets)


class Secret:
    """Key octets that never show themselves.

    The representation tells the length only; comparison takes constant time; pickling is
    refused. ``wipe`` (or leaving a ``with`` block) overwrites the octets; what a library
    copied meanwhile is beyond Python's reach, so copies are made late and kept short.
    """

    __slots__ = ("_octets",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, octets: bytes | bytearray) -> None:
        self._octets = bytearray(octets)

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    def __repr__(self) -> str:
        return f"Secret({len(self._octets)} octets)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def expose(self) -> bytes:
        """The octets themselves, for a cryptographic library."""
        return bytes(self._octets)

    def split(self, *lengths: int) -> tuple[Secret, ...]:
        """Cut into consecutive secrets of the given lengths, in octets.

        Raises:
            ValueError: the lengths do not add up to the whole.
        """
        if sum(lengths) != len(self._octets):
            raise ValueError(f"cannot cut {len(self._octets)} octets into {lengths}")
        pieces, position = [], 0
        for length in lengths:
            pieces.append(Secret(self._octets[position : position + length]))
            position += length
        return tuple(pieces)

    def wipe(self) -> None:
        """Overwrite the octets with zeros."""
        self._octets[:] = bytes(len(self._octets))
