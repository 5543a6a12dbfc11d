"""Search for dead letters: filters of the API, and pages of matching letters."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.decision import REASON_NAMES
from clarion.domain.errors import CorruptFrame, InvalidField, UnknownFrame
from clarion.domain.history import DeadLetter
from clarion.domain.planned import PlannedDelivery
from clarion.history.dead_letters.verdicts import Letter
from clarion.journal.codec import decode
from clarion.journal.events import DeliverFrame
from clarion.journal.rows import deliver_rows
from clarion.ports.history import DeadLetterFilter
from clarion.resources.pages import time_of

_REASONS: Final = {name: int(reason) for reason, name in REASON_NAMES.items() if reason}
_REPLAYED: Final = {"true": True, "false": False}


class LetterQuery(NamedTuple):
    """A filter of dead letters: the store applies `stored` and the times, `template` and `category` need the
    content."""

    stored: DeadLetterFilter = DeadLetterFilter()
    template: str | None = None
    category: str | None = None
    created_from_ms: int | None = None
    created_to_ms: int | None = None

    @property
    def by_content(self) -> bool:
        """Whether the content of letters has to be decoded."""
        return self.template is not None or self.category is not None

    def holds(self, row: PlannedDelivery | None) -> bool:
        """Return whether the content matches; a template matches in any version unless one is named."""
        if not self.by_content:
            return True
        if row is None:
            return False
        names = (row.template, row.template.partition("@")[0])
        return self.template in (None, *names) and self.category in (None, row.category)


class LetterPage(NamedTuple):
    """Letters, and the id below which the next page begins (None when nothing is left)."""

    letters: list[Letter]
    below: bytes | None


def query_of(given: Mapping[str, str], prefix: str = "") -> LetterQuery:
    """Return the filter of query parameters, or of a body's filter when `prefix` names it. Raises `InvalidField`."""
    channel, reason, replayed = given.get("channel"), given.get("reason"), given.get("replayed")
    if channel is not None and channel not in CHANNELS:
        raise InvalidField(f"must be one of {', '.join(Channel)}", field=f"{prefix}channel")
    if reason is not None and reason not in _REASONS:
        raise InvalidField(f"must be one of {', '.join(_REASONS)}", field=f"{prefix}reason")
    if replayed is not None and replayed not in _REPLAYED:
        raise InvalidField("must be true or false", field=f"{prefix}replayed")
    times = {}
    for name in ("created_from", "created_to", "dead_from", "dead_to"):
        try:
            times[name] = time_of(given, name)
        except InvalidField as error:
            raise InvalidField(error.detail, field=f"{prefix}{name}") from None
    stored = DeadLetterFilter(
        channel=channel,
        user_id=given.get("user_id"),
        reason=None if reason is None else _REASONS[reason],
        replayed=None if replayed is None else _REPLAYED[replayed],
        provider=given.get("provider"),
        vendor=given.get("vendor"),
        address=given.get("address"),
        dead_from_ms=times["dead_from"],
        dead_to_ms=times["dead_to"],
    )
    return LetterQuery(stored, given.get("template"), given.get("category"), times["created_from"], times["created_to"])


def not_replayed(only: LetterQuery) -> LetterQuery:
    """Return the filter without letters that were replayed already."""
    return only._replace(stored=msgspec.structs.replace(only.stored, replayed=False))


def open_letter(stored: DeadLetter) -> Letter:
    """Return a letter with its decoded delivery, None for one that cannot be read."""
    try:
        event = decode(stored.payload)
    except (CorruptFrame, UnknownFrame):
        return Letter(stored, None)
    return Letter(stored, next(iter(deliver_rows(event)), None) if isinstance(event, DeliverFrame) else None)


class FilteredLetters(NamedTuple):
    """Letters of a page that match the filter, the id of the last one read, and whether the limit ended the page."""

    letters: list[Letter]
    below: bytes | None
    is_full: bool


def filter_letters(rows: Iterable[DeadLetter], only: LetterQuery, limit: int) -> FilteredLetters:
    """Return up to `limit` of the letters that match the filter."""
    letters: list[Letter] = []
    below = None
    for stored in rows:
        if len(letters) == limit:
            return FilteredLetters(letters, below, True)
        below = stored.delivery_id
        letter = open_letter(stored)
        if only.holds(letter.row):
            letters.append(letter)
    return FilteredLetters(letters, below, False)
