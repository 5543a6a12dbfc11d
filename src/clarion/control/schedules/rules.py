"""Validation of schedules before they are stored. Every fault has its path."""

from collections.abc import Container, Iterator

from clarion.domain.address import single_line
from clarion.domain.content import CATEGORY_KIND, TEMPLATE_KIND, Template
from clarion.domain.duration import check_duration
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits import NAME_CHARS_MAX, SCHEDULE_TOO_LATE_MS_MAX, YEAR_MS
from clarion.domain.occurrences import check_when, next_after
from clarion.domain.reference import Reference
from clarion.domain.schedule import Schedule, ScheduleTo
from clarion.domain.segment import Segment
from clarion.domain.template_name import split
from clarion.domain.workflow import Workflow

_MINUTE_MS = 60_000


def check_schedule(schedule: Schedule, zones: Container[str]) -> None:
    """Raise `InvalidField` for the first fault of a schedule itself; `zones` are the existing IANA zones."""
    _check_to(schedule.to)
    check_clock(schedule, zones)
    if (schedule.template is None) == (schedule.workflow is None):
        raise InvalidField("needs exactly one of template and workflow", field="template")
    if schedule.workflow is not None and schedule.channels:
        raise InvalidField(
            "goes with template only; the steps of a workflow have channels of their own", field="channels"
        )
    for name, value in schedule.data.items():
        numbers(value, f"data.{name}")
    check_duration(schedule.too_late, "too_late", least_ms=_MINUTE_MS, most_ms=SCHEDULE_TOO_LATE_MS_MAX)
    if schedule.expires_after is not None:
        check_duration(schedule.expires_after, "expires_after", most_ms=YEAR_MS)
    single_line(schedule.name, "name", NAME_CHARS_MAX)


def check_clock(schedule: Schedule, zones: Container[str]) -> None:
    """Raise `InvalidField` unless the zone exists and the rule is valid."""
    if schedule.zone not in zones:
        raise InvalidField("is not an IANA time zone", field="zone")
    if schedule.local_time and schedule.zone != "UTC":
        raise InvalidField("must not be set with local_time: each recipient has a zone of their own", field="zone")
    check_when(schedule)


def check_occurs(schedule: Schedule, now_ms: int) -> None:
    """Raise `InvalidField` when a rule has no occurrence after an instant (Unix ms)."""
    if next_after(schedule, now_ms) is None:
        raise InvalidField("has no occurrence from now on", field="cron" if schedule.rrule is None else "rrule")


def check_variables(wanted: tuple[str, ...], schedule: Schedule, owner: str) -> None:
    """Raise `InvalidField` for the first required variable that is missing in the data."""
    for name in wanted:
        if name not in schedule.data:
            raise InvalidField(f"{owner} needs this variable", field=f"data.{name}")


def references(schedule: Schedule) -> Iterator[Reference]:
    """Yield the segment, category, template and workflow that a schedule names."""
    named = (
        (Segment.KIND, schedule.to.segment, "to.segment"),
        (CATEGORY_KIND, schedule.category, "category"),
        (TEMPLATE_KIND, schedule.template and split(schedule.template)[0], "template"),
        (Workflow.KIND, schedule.workflow, "workflow"),
    )
    return (Reference(kind, key, field) for kind, key, field in named if key is not None)


def check_channels(template: Template, schedule: Schedule) -> None:
    """Raise `InvalidField` when channels are named and the template has content for none of them."""
    if schedule.channels and not any(channel in template.parts for channel in schedule.channels):
        raise InvalidField(
            f"template {template.key!r} has content for {', '.join(template.parts)} only", field="channels"
        )


def _check_to(to: ScheduleTo) -> None:
    given = [to.user_id is not None, to.all, to.topic is not None, to.segment is not None]
    if sum(given) != 1:
        raise InvalidField("needs exactly one of user_id, 'all': true, topic and segment", field="to")
