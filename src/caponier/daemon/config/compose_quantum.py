"""Whether a connection may do without protection from quantum computers (RFC 9370): ``quantum_safe``."""

from __future__ import annotations

from caponier.daemon.config.attempts import Attempts
from caponier.daemon.config.schema import ConnectionTable
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
    if table.quantum_safe == "preferred":
        return proposals
    if table.proposals is None:
        return tuple(filter(is_quantum_safe, proposals))
    for proposal in proposals:
        if not is_quantum_safe(proposal):
            attempts.refuse(
                ("quantum_safe",),
                f'"required", and the proposal {format_proposal(proposal)} can do without a post-quantum key exchange',
                "add ke1_mlkem768 to it, and leave ke1_none out",
            )
    return proposals
