"""The registries of the DOI, with what this implementation speaks of them."""

from __future__ import annotations

from caponier.api import schema
from caponier.doi.registry import REGISTRIES, entries
from caponier.protocols.ike.v2.supported import is_supported


def registry(word: str | None = None) -> list[schema.RegistryEntry]:
    """All entries; with a word those that have it in registry, name, keyword or source, or as their number."""
    by_name = {each.registry: each for each in REGISTRIES}
    found = [
        schema.RegistryEntry(
            registry=entry.registry,
            number=entry.number,
            name=entry.name,
            keyword=entry.keyword,
            source=entry.source,
            guidance=entry.guidance,
            implemented=is_supported(by_name[entry.registry], entry.number),
        )
        for entry in entries()
    ]
    return found if word is None else [entry for entry in found if _has(entry, word.casefold())]


def _has(entry: schema.RegistryEntry, word: str) -> bool:
    texts = (entry.registry, entry.name, entry.keyword or "", entry.source)
    return word == str(entry.number) or any(word in text.casefold() for text in texts)
