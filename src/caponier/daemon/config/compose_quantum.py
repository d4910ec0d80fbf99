"""Whether a connection may do without protection from quantum computers (RFC 9370, RFC 8784): ``quantum_safe`` and ``ppk``."""

from __future__ import annotations

from pathlib import Path

from caponier.daemon.config.attempts import Attempts
from caponier.daemon.config.schema import ConnectionTable
from caponier.daemon.config.secrets import read_secret
from caponier.errors import ConfigError
from caponier.mechanisms.authentication.ppk import SHORTEST, Ppk
from caponier.mechanisms.negotiation.proposals import Proposal, format_proposal, is_quantum_safe


def compose_quantum_safe(
    attempts: Attempts, table: ConnectionTable, proposals: tuple[Proposal, ...]
) -> tuple[Proposal, ...]:
    """The IKE proposals that ``quantum_safe`` leaves; what a person wrote is refused rather than left out.

    Args:
        attempts: at the connection's table.
        table: its values.
        proposals: those of the configuration, or the default.
    """
    if table.quantum_safe == "preferred" or (table.ppk is not None and table.ppk.required):
        return proposals
    if table.proposals is None:
        return tuple(filter(is_quantum_safe, proposals))
    for proposal in proposals:
        if not is_quantum_safe(proposal):
            attempts.refuse(
                ("quantum_safe",),
                f'"required", and the proposal {format_proposal(proposal)} can do without a post-quantum key exchange',
                "add ke1_mlkem768 to it, and leave ke1_none out; or add a ppk that is required",
            )
    return proposals


def compose_ppk(attempts: Attempts, table: ConnectionTable, directory: Path) -> Ppk | None:
    """The postquantum preshared key, if there is one."""
    ppk = table.ppk
    if ppk is None:
        return None
    return attempts.make(("ppk", "secret"), lambda: _ppk(ppk.id, ppk.secret, directory, required=ppk.required))


def _ppk(name: str, source: str, directory: Path, *, required: bool) -> Ppk:
    secret = read_secret(source, directory)
    if len(secret) < SHORTEST:
        raise ConfigError(
            f"the secret has {len(secret)} octets, and a postquantum preshared key needs {SHORTEST} (RFC 8784 section 6)",
            hint="make a good one: head -c 32 /dev/urandom | base64 > FILE",
        )
    return Ppk(name, secret, required)
