"""What is over a cap and goes into a digest: the notification that starts it, and who will probably be merged."""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b

import msgspec

from clarion.domain import ids
from clarion.journal.events import Recipient
from clarion.plan.claims import Claims
from clarion.plan.columns import Accepted
from clarion.plan.facts import SendFacts
from clarion.plan.outcome import Merged
from clarion.plan.rules.setting import Setting


def digesting(merged: Merged) -> Accepted:
    """Return the start of the digest workflow that a merged delivery goes into, as a notification of its own."""
    item, to = merged.item, merged.to
    who = f"{item.step}:{to.user_id}:{merged.workflow}".encode()
    rest = blake2b(who, key=item.notification_id, digest_size=ids.ENTROPY_BYTES).digest()
    request = msgspec.structs.replace(
        item.request,
        to=[to],
        template="",
        channels=None,
        workflow=merged.workflow,
        workflow_version=merged.version,
    )
    return Accepted(
        item.lane, item.notification_id[: -ids.ENTROPY_BYTES] + rest, item.tenant, item.accepted_ms, request
    )


def likely_digests(items: Iterable[Accepted], facts: SendFacts, now_ms: int) -> list[Accepted]:
    """Return the digests that these notifications will probably go into at a time (Unix ms). It counts caps alone, so it may
    be wrong; then a digest is asked for later or in vain."""
    if not any(setting.digest for setting in facts.settings.values()):
        return []
    found: list[Accepted] = []
    claims = facts.claims(now_ms)
    for item in items:
        if (item.request.send_at_ms or 0) <= now_ms:
            with suppress(Exception):  # the decision meets whatever it is again, and tells of it
                found += _of(item, facts, claims)
    return found


def _of(item: Accepted, facts: SendFacts, claims: Claims) -> Iterable[Accepted]:
    setting = facts.setting(item.tenant, item.request, item.route)
    if setting.digest is None:
        return
    for to in item.request.to:
        user = facts.user(item.tenant, to.user_id) if to.user_id else None
        if user is not None and _is_over(setting, item.tenant, user.ordinal, claims):
            yield digesting(Merged(item, Recipient(user.user_id), *setting.digest))


def _is_over(setting: Setting, tenant: str, ordinal: int, claims: Claims) -> bool:
    room = claims.of(tenant)
    return any(room.claim(ordinal, setting.caps_on(channel)) is not None for channel in setting.channels)
