"""Validation of event rules before they are stored. Every fault has its path, such as `notify[1].to`."""

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Final

from clarion.domain.address import key, single_line
from clarion.domain.channel import Channel
from clarion.domain.content import CATEGORY_KIND, TEMPLATE_KIND
from clarion.domain.errors import InvalidField
from clarion.domain.event_rule import EventRule, Notify
from clarion.domain.limits import EVENT_RULE_EXPRESSIONS_MAX, EVENT_RULE_NOTIFY_MAX, KEY_CHARS_MAX, NAME_CHARS_MAX
from clarion.domain.reference import Reference, unknown
from clarion.domain.template_name import split
from clarion.domain.workflow import Workflow

_CHANNELS_MAX: Final = len(Channel)


def check_rule(rule: EventRule, fault_of: Callable[[str], str]) -> None:
    """Raise `InvalidField` for the first fault of the rule itself; `fault_of` returns the fault of an expression, empty
    if it has none."""
    key(rule.event, "event")
    single_line(rule.name, "name", NAME_CHARS_MAX)
    if not 1 <= len(rule.notify) <= EVENT_RULE_NOTIFY_MAX:
        raise InvalidField(f"takes 1 to {EVENT_RULE_NOTIFY_MAX} entries", field="notify")
    for index, notify in enumerate(rule.notify):
        _check_entry(notify, f"notify[{index}]")
    expressions = list(_expressions(rule))
    if len(expressions) > EVENT_RULE_EXPRESSIONS_MAX:
        raise InvalidField(f"has more than {EVENT_RULE_EXPRESSIONS_MAX} expressions", field="notify")
    for field, text in expressions:
        fault = fault_of(text)
        if fault:
            raise InvalidField(fault, field=field, code="bad_expression")


def references(rule: EventRule) -> Iterator[Reference]:
    """Yield the workflows, categories and templates that a rule names."""
    for index, notify in enumerate(rule.notify):
        path = f"notify[{index}]"
        if notify.workflow is not None:
            yield Reference(Workflow.KIND, notify.workflow, f"{path}.workflow")
        if notify.category is not None:
            yield Reference(CATEGORY_KIND, notify.category, f"{path}.category")
        if notify.template is not None:
            yield Reference(TEMPLATE_KIND, split(notify.template)[0], f"{path}.template")


def check_content(rule: EventRule, templates: Mapping[str, Container[Channel]]) -> None:
    """Raise `InvalidField` for the first template that has no current version or no content for a channel; `templates` has
    the channels of each that is sent."""
    for index, notify in enumerate(rule.notify):
        path = f"notify[{index}]"
        if notify.template is not None:
            if notify.template not in templates:
                raise unknown("template", notify.template, f"{path}.template")
            _check_channels(notify, templates[notify.template], path)


def _check_entry(notify: Notify, path: str) -> None:
    if (notify.template is None) == (notify.workflow is None):
        raise InvalidField("needs exactly one of template and workflow", field=path)
    if notify.workflow is not None and notify.channels:
        raise InvalidField("goes with a template; a workflow names its own", field=f"{path}.channels")
    if len(set(notify.channels)) != len(notify.channels) or len(notify.channels) > _CHANNELS_MAX:
        raise InvalidField("names a channel twice", field=f"{path}.channels")
    for name in notify.data:
        single_line(name, f"{path}.data", KEY_CHARS_MAX)


def _expressions(rule: EventRule) -> Iterator[tuple[str, str]]:
    """Yield every expression with its path."""
    if rule.if_ is not None:
        yield "if", rule.if_
    for index, notify in enumerate(rule.notify):
        path = f"notify[{index}]"
        if notify.if_ is not None:
            yield f"{path}.if", notify.if_
        yield f"{path}.to", notify.to
        for name, text in notify.data.items():
            yield f"{path}.data.{name}", text


def _check_channels(notify: Notify, served: Container[Channel], path: str) -> None:
    for index, channel in enumerate(notify.channels):
        if channel not in served:
            detail = f"template {notify.template!r} has no content for {channel}"
            raise InvalidField(detail, field=f"{path}.channels[{index}]")
