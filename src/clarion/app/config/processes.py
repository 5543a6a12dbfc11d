"""The sections of processes: `workers`, `journal`, `lease` and `log`."""

from typing import Annotated, Literal

import msgspec

from clarion.domain.settings import NotNegative, Positive, Section


class Workers(Section, frozen=True):
    """The worker processes that `clarion up` starts. `count` 0 means one per core."""

    count: NotNegative
    drain_timeout_ms: Positive
    shared_image: bool


class Journal(Section, frozen=True):
    """The journal. `partitions` 0 leaves an existing journal as it is."""

    partitions: NotNegative
    retention_hours: Positive


class Lease(Section, frozen=True):
    """Ownership of partitions."""

    ttl_ms: Annotated[int, msgspec.Meta(ge=500)]


class Log(Section, frozen=True):
    """Log lines."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]
