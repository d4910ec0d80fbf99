"""What a refusal must be good for: to be told to a person."""

from __future__ import annotations

from caponier.errors import Disposition, PeerError


def require_said(error: Exception) -> None:
    """It says something."""
    assert str(error)


def require_told(error: Exception) -> None:
    """It says something, in printable letters."""
    require_said(error)
    text = str(error)
    assert text.replace("\n", "").isprintable(), "octets of a stranger's reach a terminal"


def require_harmless(error: PeerError) -> None:
    """It is about octets that anybody may have sent: no SA ends by it."""
    require_told(error)
    assert error.disposition is not Disposition.CLOSE_SA
