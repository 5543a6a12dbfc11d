"""Checks what a schedule sends and to whom, as far as that is no document or was built of one."""

from clarion.control.schedules.rules import check_channels, check_variables
from clarion.control.templates.reads import Templates
from clarion.domain.errors import InvalidField
from clarion.domain.reference import unknown
from clarion.domain.schedule import Schedule
from clarion.ports.control import Control
from clarion.ports.schemas import Schemas


async def check_references(control: Control, schemas: Schemas, tenant: str, schedule: Schedule) -> None:
    """Raise `InvalidField` for a user or topic that does not exist, a template that is not sent or lacks a variable, and data
    that does not satisfy its schema."""
    to = schedule.to
    if to.user_id is not None and await control.users.get(tenant, to.user_id) is None:
        raise unknown("user", to.user_id, "to.user_id")
    if to.topic is not None and await control.topics.get(tenant, to.topic) is None:
        raise unknown("topic", to.topic, "to.topic")
    if schedule.template is not None:
        template = await Templates(control.documents).get(tenant, schedule.template)
        if template is None:
            raise unknown("template", schedule.template, "template")
        check_variables(template.variables, schedule, f"template {template.key!r}")
        check_channels(template, schedule)
        fault = None if template.schema is None else schemas.check(template.schema, schedule.data)
        if fault is not None:
            raise InvalidField(fault.detail, field=f"data.{fault.path}" if fault.path else "data")
