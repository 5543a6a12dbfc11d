"""Plans one page of a broadcast: user rows in, chunk frames out, all decisions shared per profile class."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import DEVICE_CHANNELS, Channel, Lane
from clarion.domain.content import Template
from clarion.domain.decision import Reason, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits import FRAME_RECORDS_MAX
from clarion.domain.segment import Filter
from clarion.domain.user import Device
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import BroadcastJob, ChunkFrame
from clarion.plan.facts import Facts
from clarion.plan.rules.chunks import CONTACT_COLUMNS, Columns, Row, addressed_columns, inapp_columns
from clarion.plan.rules.decide import Setting
from clarion.ports.directory import Directory
from clarion.ports.journal import Cursor, Frame
from clarion.ports.renderer import Render, Renderer, RenderError

_HEAD = 4
"""Columns every page row starts with: ordinal, user_id, profile_id, locale."""
_FILTER = msgspec.json.Decoder(Filter)
_DEVICES = msgspec.msgpack.Decoder(list[Device])


class Page(NamedTuple):
    """A planned page: frames, the ordinal it ends at, counts, and whether it was the last."""

    frames: list[Frame]
    position: int
    users: int
    planned: int
    skipped: int
    done: bool
    counts: dict[tuple[str, str], int]
    """How many deliveries per (channel, `send` or `skip`)."""


class PagePlanner:
    """Plans pages for one process."""

    def __init__(
        self, directory: Directory, facts: Facts, renderer: Renderer, partitions: int, page_users: int
    ) -> None:
        self._directory = directory
        self._facts = facts
        self._renderer = renderer
        self._partitions = partitions
        self._page_users = page_users
        self._renders: dict[tuple[str, str], tuple[dict[str, Any], Render]] = {}

    def channels(self, tenant: str, job: BroadcastJob) -> tuple[Channel, ...]:
        """Return the channels a broadcast goes out on."""
        return self._facts.setting(tenant, job.request).channels

    def plan(self, cursor: Cursor, job: BroadcastJob, now_ms: int) -> Page:
        """Return the plan of the page after the cursor's position, at a time (Unix ms)."""
        self._facts.refresh()
        setting = self._facts.setting(cursor.tenant, job.request)
        columns = self._columns(setting)
        audience = job.audience
        matching = None if audience.filter is None else _FILTER.decode(audience.filter)
        rows, position, done = self._directory.page(
            cursor.tenant, audience.topic, cursor.position, self._page_users, columns, matching
        )
        if not rows:
            return Page([], position, 0, 0, 0, done, {})
        profiles = {row[2] for row in rows}
        gates = self._facts.gates(setting, profiles)
        frames: list[Frame] = []
        counts: dict[tuple[str, str], int] = {}
        for channel in setting.channels:
            verdicts = {profile: gates[profile][channel] for profile in profiles}
            by_locale = self._channel_columns(cursor.tenant, channel, rows, verdicts, columns)
            for locale, wide in by_locale.items():
                for part in wide.cut():
                    skips = part.states.count(int(State.SKIPPED))
                    for key, number in (((channel, "skip"), skips), ((channel, "send"), len(part.ordinals) - skips)):
                        counts[key] = counts.get(key, 0) + number
                    frames += self._frames(cursor, job, setting, channel, locale, part, columns, now_ms)
        planned = sum(number for (_, verdict), number in counts.items() if verdict == "send")
        skipped = sum(counts.values()) - planned
        return Page(frames, position, len(rows), planned, skipped, done, counts)

    def _columns(self, setting: Setting) -> tuple[str, ...]:
        names = {name: None for channel in setting.channels for name in CONTACT_COLUMNS[channel]}
        if setting.template.uses_user:
            names |= {"email": None, "phone": None, "attributes": None}
        return tuple(names)

    def _channel_columns(
        self,
        tenant: str,
        channel: Channel,
        rows: Sequence[Row],
        verdicts: Mapping[int, Skip | None],
        columns: Sequence[str],
    ) -> dict[str, Columns]:
        if channel is Channel.INAPP:
            return inapp_columns(rows, verdicts)
        addresses_of = _address_reader(channel, columns)
        suppressed: dict[str, str] = {}
        if self._directory.has_suppressions(tenant, channel):
            addresses = [address for row in rows for address in addresses_of(row)]
            suppressed = self._directory.suppressed(tenant, channel, addresses)
        return addressed_columns(rows, verdicts, addresses_of, suppressed)

    def _frames(
        self,
        cursor: Cursor,
        job: BroadcastJob,
        setting: Setting,
        channel: Channel,
        locale: str,
        part: Columns,
        columns: Sequence[str],
        now_ms: int,
    ) -> list[Frame]:
        request = job.request
        users: list[dict[str, Any]] = []
        content: str | dict[str, Any] = request.template
        if setting.template.uses_user:
            profiles = self._directory.profiles({row[2] for row in part.rows})
            users = [_user(row, columns, profiles[row[2]].zone) for row in part.rows]
        if channel is Channel.INAPP and channel in setting.template.parts:
            content, users = self._inapp_content(cursor.tenant, setting.template, request.data, users, part)
        chunk_id = _chunk_id(cursor.cursor_id, part.ordinals[0], channel, locale)
        chunk = ChunkFrame(
            chunk_id=chunk_id,
            tenant=cursor.tenant,
            channel=channel,
            locale=locale,
            content=content,
            category=setting.category.key,
            data=request.data,
            planned_ms=now_ms,
            expires_ms=request.expires_ms,
            metadata=request.metadata,
            ordinals=part.ordinals,
            user_ids=part.user_ids,
            states=bytes(part.states),
            reasons=bytes(part.reasons),
            addresses=part.addresses,
            users=users,
        )
        count = len(part.ordinals)
        # Chunks of one broadcast spread over all partitions, so that every worker sends.
        partition = chunk_id[-1] % self._partitions
        payload = encode(chunk, count)
        frames = [Frame(topics.OUTCOMES, partition, count, payload)]
        if channel is not Channel.INAPP and int(State.PLANNED) in part.states:
            frames.append(Frame(topics.deliver(channel, Lane.BULK), partition, count, payload))
        return frames

    def _inapp_content(
        self, tenant: str, template: Template, data: dict[str, Any], users: list[dict[str, Any]], part: Columns
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what everyone is shown, or what each one is; whose content cannot be rendered fails in `part`."""
        render = self._render(tenant, template)
        context = {**data, "data": data}
        if not users:
            shared = _rendered(render, {**context, "user": {}})
            if shared is None:
                part.fail(range(len(part.ordinals)), Reason.RENDER_FAILED)
            return shared or {}, []
        own = [_rendered(render, {**context, "user": user}) for user in users]
        part.fail((index for index, content in enumerate(own) if content is None), Reason.RENDER_FAILED)
        return {}, [content or {} for content in own]

    def _render(self, tenant: str, template: Template) -> Render:
        """Return the compiled in-app part. By content, not by version: a template that was removed and made anew counts
        its versions from 1 again."""
        place, source = (tenant, template.key), template.parts[Channel.INAPP]
        held = self._renders.get(place)
        if held is not None and held[0] == source:
            return held[1]
        if len(self._renders) >= FRAME_RECORDS_MAX:
            self._renders.clear()
        render: Render = self._renderer.compile(source, html=False)
        self._renders[place] = source, render
        return render


def _rendered(render: Render, context: dict[str, Any]) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = render(context)
    except RenderError:
        return None
    return content


def _chunk_id(broadcast: bytes, first_ordinal: int, channel: Channel, locale: str) -> bytes:
    text = f"{first_ordinal}:{channel}:{locale}".encode()
    return broadcast + blake2b(text, key=broadcast, digest_size=ids.DELIVERY_ID_BYTES - len(broadcast)).digest()


def _address_reader(channel: Channel, columns: Sequence[str]) -> Callable[[Row], Sequence[str]]:
    places = [_HEAD + columns.index(name) for name in CONTACT_COLUMNS[channel]]
    if channel in DEVICE_CHANNELS:
        place = places[0]

        def tokens(row: Row) -> Sequence[str]:
            blob = row[place]
            devices = _DEVICES.decode(blob) if blob else ()
            return list(dict.fromkeys(device.token for device in devices if device.kind == channel))

        return tokens

    def contact(row: Row) -> Sequence[str]:
        return next(((row[place],) for place in places if row[place]), ())

    return contact


def _user(row: Row, columns: Sequence[str], zone: str) -> dict[str, Any]:
    values = dict(zip(columns, row[_HEAD:], strict=True))
    attributes = msgspec.json.decode(values["attributes"]) if values.get("attributes") else {}
    return {
        **attributes,
        "id": row[1],
        "locale": row[3],
        "zone": zone,
        "email": values.get("email"),
        "phone": values.get("phone"),
    }
