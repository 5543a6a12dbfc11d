"""The page about the security log has each event and each field, and no other."""

import re

from clarion.domain.security_events import SecurityEvent
from clarion.ports.telemetry import Telemetry
from tests.docs.walk import ROOT

FIELDS, EVENTS = (ROOT / "docs" / "security-log.md").read_text(encoding="utf-8").split("## Events")
ROW = re.compile(r"^\| `([a-z_]+)` \| (.+) \|$", re.MULTILINE)


def test_each_event_has_one_row():
    names = [name for name, _ in ROW.findall(EVENTS)]
    assert sorted(names) == sorted(SecurityEvent)


def test_rows_are_whole_and_name_fields_of_the_vocabulary():
    known = {name for name, _ in ROW.findall(FIELDS)}
    assert known == set(re.findall(r"`([a-z_]+)`", Telemetry.security.__doc__ or "")) - {"fields"}
    for name, rest in ROW.findall(EVENTS):
        when, fields, todo = rest.split(" | ")
        assert when.endswith(".") and todo.endswith("."), name
        assert set(re.findall(r"`([a-z_]+)`", fields)) <= known, name


def test_each_event_is_recorded():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "clarion").rglob("*.py"))
    assert [event for event in SecurityEvent if f"SecurityEvent.{event.name}" not in code] == []
