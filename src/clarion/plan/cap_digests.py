"""Digests of deliveries over a cap: the notification that starts one, and a guess of which ones a batch will need."""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b

import msgspec

from clarion.domain import ids
from clarion.journal.events import Recipient
from clarion.plan.claims import Claims
from clarion.plan.columns import PlanItem
from clarion.plan.facts import SendFacts
from clarion.plan.plan_writer import MergedRecipient
from clarion.plan.rules.request_facts import RequestFacts


def digest_start(merged: MergedRecipient) -> PlanItem:
    """Return the notification that starts the digest workflow for a merged delivery."""
    item, to = merged.item, merged.to
    identity = f"{item.step}:{to.user_id}:{merged.workflow}".encode()
    rest = blake2b(identity, key=item.notification_id, digest_size=ids.ENTROPY_BYTES).digest()
    request = msgspec.structs.replace(
        item.request,
        to=[to],
        template="",
        channels=None,
        workflow=merged.workflow,
        workflow_version=merged.version,
    )
    return PlanItem(
        item.lane, item.notification_id[: -ids.ENTROPY_BYTES] + rest, item.tenant, item.accepted_ms, request
    )


def likely_digests(items: Iterable[PlanItem], facts: SendFacts, now_ms: int) -> list[PlanItem]:
    """Return the starts of the digests that these notifications will probably be merged into at a time (Unix ms). Only
    caps are considered, so the guess may be wrong; a digest is then gathered later or in vain."""
    if not any(request_facts.digest for request_facts in facts.request_facts.values()):
        return []
    found: list[PlanItem] = []
    claims = facts.claims(now_ms)
    for item in items:
        if (item.request.send_at_ms or 0) <= now_ms:
            with suppress(Exception):  # the decision meets the same error again, and reports it
                found += _of(item, facts, claims)
    return found


def _of(item: PlanItem, facts: SendFacts, claims: Claims) -> Iterable[PlanItem]:
    request_facts = facts.request_facts_of(item.tenant, item.request, item.route)
    if request_facts.digest is None:
        return
    for to in item.request.to:
        user = facts.user(item.tenant, to.user_id) if to.user_id else None
        if user is not None and _is_over(request_facts, item.tenant, user.ordinal, claims):
            yield digest_start(MergedRecipient(item, Recipient(user.user_id), *request_facts.digest))


def _is_over(request_facts: RequestFacts, tenant: str, ordinal: int, claims: Claims) -> bool:
    room = claims.of(tenant)
    return any(room.claim(ordinal, request_facts.caps_on(channel)) is not None for channel in request_facts.channels)
