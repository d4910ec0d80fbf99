"""Reading a configuration file without a daemon."""

from __future__ import annotations

from pathlib import Path

from caponier.api import convert, schema
from caponier.daemon.config import InvalidConfiguration, load


def check(file: Path) -> schema.Check:
    """Every finding of a configuration file, or what it configures."""
    try:
        configuration = load(file)
    except InvalidConfiguration as error:
        return schema.Check(file=str(file), valid=False, findings=findings(error))
    connections = [convert.connection(each) for each in configuration.connections.values()]
    policies = [convert.policy(each) for each in configuration.policies]
    return schema.Check(file=str(file), valid=True, policies=policies, connections=connections)


def findings(error: InvalidConfiguration) -> list[schema.Finding]:
    """Everything that is wrong with a file."""
    return [
        schema.Finding(
            file=str(each.place.file), line=each.place.line, key=each.key, message=each.message, hint=each.hint
        )
        for each in error.findings
    ]
