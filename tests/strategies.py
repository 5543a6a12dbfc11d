"""Hypothesis strategies for the events on the journal: one for each kind, with columns of equal length."""

from typing import Any, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from clarion.domain import outcome
from clarion.domain.attachment import Attachment
from clarion.domain.channel import CHANNELS, LANES
from clarion.domain.delivery_state import Event as DeliveryEvent
from clarion.domain.delivery_state import State
from clarion.domain.ids import DELIVERY_ID_BYTES, NOTIFICATION_ID_BYTES
from clarion.domain.trail import Trail
from clarion.journal import events

RECORDS_MAX = 4

texts = st.text(max_size=12)
names = st.text("abcdefghijklmnop_", min_size=1, max_size=8)
times_ms = st.integers(0, 1 << 45)
counts = st.integers(0, 1 << 20)
reasons = st.integers(0, 255)
notification_ids = st.binary(min_size=NOTIFICATION_ID_BYTES, max_size=NOTIFICATION_ID_BYTES)
delivery_ids = st.binary(min_size=DELIVERY_ID_BYTES, max_size=DELIVERY_ID_BYTES)
channels = st.sampled_from([str(channel) for channel in CHANNELS])
lanes = st.sampled_from([str(lane) for lane in LANES])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
data = st.dictionaries(names, json_values, max_size=3)
metadata = st.none() | st.dictionaries(names, texts, max_size=3)
contents = names | st.dictionaries(names, data, max_size=2)
chunk_refs = st.none() | st.tuples(delivery_ids, counts)

recipients = st.builds(events.Recipient, user_id=names, locale=texts, zone=texts) | st.builds(
    events.Recipient, contacts=st.dictionaries(channels, texts, min_size=1, max_size=2)
)
requests = st.builds(
    events.Request,
    to=st.lists(recipients, max_size=3),
    template=names,
    category=st.none() | names,
    channels=st.none() | st.lists(channels, max_size=3),
    lane=lanes,
    data=data,
    send_at_ms=st.none() | times_ms,
    expires_ms=st.none() | times_ms,
    ordering_key=st.none() | texts,
    metadata=metadata,
)
outcomes = st.one_of(
    st.builds(outcome.Accepted, texts, st.none() | data),
    st.builds(outcome.Throttled, st.none() | counts, texts, st.sampled_from(["account", "recipient"])),
    st.builds(outcome.Transient, texts, st.none() | counts),
    st.builds(outcome.Ambiguous, texts, st.none() | counts),
    st.builds(outcome.Refused, names, texts),
    st.builds(outcome.InvalidRecipient, texts),
    st.builds(outcome.Misconfigured, texts),
)
files = st.builds(Attachment, texts, texts, st.none() | st.binary(max_size=20), texts, texts)

_COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "accepted_ms": times_ms,
    "addresses": texts,
    "at_ms": times_ms,
    "attachments": st.none() | st.lists(files, min_size=1, max_size=2),
    "attempts": counts,
    "categories": names,
    "channels": channels,
    "chunks": chunk_refs,
    "data": data,
    "dead": st.none() | st.binary(max_size=20),
    "delivery_ids": delivery_ids,
    "details": texts,
    "events": st.sampled_from([str(event) for event in DeliveryEvent]),
    "expires_ms": st.none() | times_ms,
    "finished_ms": times_ms,
    "locales": texts,
    "metadata": metadata,
    "notification_ids": notification_ids,
    "of": counts,
    "ordering_keys": st.none() | texts,
    "ordinals": counts,
    "outcomes": outcomes,
    "places": chunk_refs,
    "items": st.tuples(texts, st.none() | times_ms),
    "providers": names,
    "reasons": reasons,
    "requests": requests,
    "retry_ms": st.none() | times_ms,
    "scheduled_ms": st.none() | times_ms,
    "started_ms": times_ms,
    "subject_ids": notification_ids,
    "templates": names,
    "tenants": names,
    "trails": st.none() | st.builds(Trail, counts, counts, st.lists(names, max_size=3).map(tuple), names),
    "user_ids": texts,
    "users": data,
    "vendors": names,
}
_OF_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: counts,
    bytes: st.binary(max_size=20),
    int | None: st.none() | counts,
    bytes | None: st.none() | st.binary(max_size=20),
    list[str]: st.lists(texts, max_size=3),
}
"""Columns whose name says nothing more than their type."""
_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "at_ms": times_ms,
    "category": names,
    "channel": channels,
    "chunk_id": delivery_ids,
    "content": contents,
    "data": data,
    "expires_ms": st.none() | times_ms,
    "fence": counts,
    "finished_ms": times_ms,
    "first_index": counts,
    "locale": texts,
    "metadata": metadata,
    "planned_ms": times_ms,
    "provider": names,
    "reasons": st.binary(max_size=RECORDS_MAX),
    "states": st.lists(st.sampled_from(State), max_size=RECORDS_MAX).map(bytes),
    "template": names,
    "tenant": names,
    "vendor": names,
    "worker": names,
}


def _column(name: str, type_: Any) -> st.SearchStrategy[Any]:
    return _COLUMNS[name] if name in _COLUMNS else _OF_TYPE[get_args(type_)[0]]


def events_of(kind: type[events.Event]) -> st.SearchStrategy[events.Event]:
    """Return a strategy for one event kind, with up to `RECORDS_MAX` records."""
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}

    def frame(records: int) -> st.SearchStrategy[events.Event]:
        values = {
            name: st.lists(_column(name, type_), min_size=records, max_size=records)
            if get_origin(type_) is list
            else _PLAIN[name]
            for name, type_ in fields.items()
        }
        return st.fixed_dictionaries(values).map(lambda columns: kind(**columns))

    return st.integers(0, RECORDS_MAX).flatmap(frame)


KINDS: tuple[type[events.Event], ...] = get_args(events.Event)
any_event = st.sampled_from(KINDS).flatmap(events_of)
