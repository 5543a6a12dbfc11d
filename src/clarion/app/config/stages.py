"""The sections of stages: `plan`, `content`, `deliver` and `record`."""

from typing import Annotated

import msgspec

from clarion.domain.limits_delivery import AGE_MS_MAX, RETRY_PAUSES_MAX
from clarion.domain.settings import NotNegative, Positive, Section


class Plan(Section, frozen=True):
    """Batches of the plan stage."""

    linger_ms: NotNegative
    batch_events: Positive


class Content(Section, frozen=True):
    """The link shortener, and where drafts are rendered."""

    shorten_links: str
    confined: bool


class Concurrency(Section, frozen=True):
    """Concurrent calls to providers, per channel and worker."""

    email: Positive
    sms: Positive
    push: Positive
    webpush: Positive
    whatsapp: Positive
    chat: Positive
    inapp: Positive
    webhook: Positive


Pauses = Annotated[list[Positive], msgspec.Meta(min_length=1, max_length=RETRY_PAUSES_MAX)]
Age = Annotated[int, msgspec.Meta(ge=1, le=AGE_MS_MAX)]


class RetryPauses(Section, frozen=True):
    """The longest pause after each failed pass over a channel's accounts; the last one counts for all further
    passes."""

    email: Pauses
    sms: Pauses
    push: Pauses
    webpush: Pauses
    whatsapp: Pauses
    chat: Pauses
    inapp: Pauses
    webhook: Pauses


class AgeMax(Section, frozen=True):
    """How long a delivery of a channel is retried."""

    email: Age
    sms: Age
    push: Age
    webpush: Age
    whatsapp: Age
    chat: Age
    inapp: Age
    webhook: Age


class Deliver(Section, frozen=True):
    """Attempts and retries of the deliver stage."""

    passes_max: NotNegative
    concurrency: Concurrency
    retry_pauses_ms: RetryPauses
    age_max_ms: AgeMax


class Record(Section, frozen=True):
    """Batches of the record stage."""

    linger_ms: NotNegative
