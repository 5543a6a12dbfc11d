"""The versions of documents as ETags (RFC 9110, section 8.8.3), and the conditions of requests on them."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from clarion.domain.errors import InvalidField, Stale
from clarion.ports.documents import Document

IF_MATCH: Final = "if-match"
IF_NONE_MATCH: Final = "if-none-match"
_ANY: Final = "*"
_TAG: Final = re.compile(r'\s*(W/)?"(\d{1,18})"\s*')


class Match(NamedTuple):
    """What a request expects of a document: one of some versions, that it exists, or that it does not. The version of one
    that does not exist is 0."""

    versions: frozenset[int] | None = None
    exists: bool | None = None

    def check(self, current: Document | None) -> None:
        """Raise `Stale` unless the document is as expected."""
        if self.exists is not None and self.exists is not (current is not None):
            detail = "there is one already" if current is not None else "there is none"
            raise Stale(detail, field="If-None-Match" if current is not None else "If-Match")
        version = 0 if current is None else current.version
        if self.versions is not None and version not in self.versions:
            now = "does not exist" if current is None else f"is version {version} now"
            raise Stale(f"what the change is based on {now}; read it again", field="If-Match")


def match_of(headers: Mapping[str, str]) -> Match:
    """Return what the headers of a request expect. Raises `InvalidField`."""
    given, absent = headers.get(IF_MATCH), headers.get(IF_NONE_MATCH)
    if absent is not None:
        if absent.strip() != _ANY or given is not None:
            raise InvalidField("takes * alone, to store only what does not exist yet", field="If-None-Match")
        return Match(exists=False)
    if given is None:
        return Match()
    if given.strip() == _ANY:
        return Match(exists=True)
    tags = [_TAG.fullmatch(text) for text in given.split(",")]
    if not all(tags):
        raise InvalidField('takes the ETag of a response, such as "3", or *', field="If-Match")
    # A weak tag never matches (RFC 9110, section 13.1.1).
    return Match(frozenset(int(tag[2]) for tag in tags if tag is not None and tag[1] is None))


def etag(version: int) -> dict[str, str]:
    """Return the header of a response that shows a version of a document."""
    return {"ETag": f'"{version}"'}
