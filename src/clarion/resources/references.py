"""What a body refers to: it exists when the body is stored, as the same commit sees it, and stays as long as it is referred
to."""

from collections.abc import Iterable

from clarion.domain.reference import Reference
from clarion.ports.documents import DocumentKey
from clarion.resources.declaration import Facts, Needs


def needed(references: Iterable[Reference], facts: Facts) -> Needs:
    """Return what a body refers to as what a decision is based on."""
    return Needs(frozenset(DocumentKey(facts.target.tenant, one.kind, one.key) for one in references))


def referred(references: Iterable[Reference], facts: Facts) -> frozenset[tuple[str, str]]:
    """Return what a body refers to, by kind and key. Raises `InvalidField` for the first that does not exist."""
    found = list(references)
    for one in found:
        if facts.find(one.kind, one.key) is None:
            raise one.unknown()
    return frozenset((one.kind, one.key) for one in found)
