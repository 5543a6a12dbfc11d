"""Checks that every definition named by a schedule exists."""

import msgspec

from clarion.control.categories.resource import find_category
from clarion.control.schedules.rules import check_channels, check_variables
from clarion.control.templates.reads import Templates
from clarion.domain.errors import InvalidField
from clarion.domain.limits import KEY_CHARS_MAX
from clarion.domain.schedule import Schedule
from clarion.domain.segment import Segment
from clarion.domain.workflow import Workflow
from clarion.ports.control import Control
from clarion.ports.schemas import Schemas
from clarion.resources.reads import find

_WORKFLOW = msgspec.json.Decoder(Workflow)


async def check_references(control: Control, schemas: Schemas, tenant: str, schedule: Schedule) -> None:
    """Raise `InvalidField` for the first user, topic, segment, template, workflow, category or variable that is
    missing, and for data that does not satisfy its template's schema."""
    to = schedule.to
    if to.user_id is not None and await control.users.get(tenant, to.user_id) is None:
        raise _unknown("user", to.user_id, "to.user_id")
    if to.topic is not None and await control.topics.get(tenant, to.topic) is None:
        raise _unknown("topic", to.topic, "to.topic")
    if to.segment is not None and await find(control.documents, tenant, Segment.KIND, to.segment) is None:
        raise _unknown("segment", to.segment, "to.segment")
    if schedule.category is not None and await find_category(control.documents, tenant, schedule.category) is None:
        raise _unknown("category", schedule.category, "category")
    if schedule.template is not None:
        template = await Templates(control.documents).get(tenant, schedule.template)
        if template is None:
            raise _unknown("template", schedule.template, "template")
        check_variables(template.variables, schedule, f"template {template.key!r}")
        check_channels(template, schedule)
        fault = None if template.schema is None else schemas.check(template.schema, schedule.data)
        if fault is not None:
            raise InvalidField(fault.detail, field=f"data.{fault.path}" if fault.path else "data")
    if schedule.workflow is not None:
        record = await find(control.documents, tenant, Workflow.KIND, schedule.workflow)
        if record is None:
            raise _unknown("workflow", schedule.workflow, "workflow")
        check_variables(_WORKFLOW.decode(record.body).variables, schedule, f"workflow {schedule.workflow!r}")


def _unknown(noun: str, name: str, field: str) -> InvalidField:
    return InvalidField(f"unknown {noun} {name[:KEY_CHARS_MAX]!r}", field=field, code=f"unknown_{noun}")
