"""The security log counts every event and writes a bounded number of lines of each."""

import io

import msgspec
import pytest

from clarion.domain.limits_processes import SECURITY_LINES_MAX, SECURITY_LINES_MS
from clarion.domain.security_events import SecurityEvent
from clarion.ops.logging import configure
from clarion.ops.metrics import Metrics
from clarion.ops.security_log import SECURITY, SecurityLog
from clarion.ops.telemetry import ProcessTelemetry

pytestmark = pytest.mark.usefixtures("restored_logging")


def test_lines_of_an_event_are_bounded_and_the_others_counted():
    now_s, lines = [0.0], []
    log = SecurityLog(lambda event, **fields: lines.append((event, fields)), lambda: now_s[0])
    for number in range(SECURITY_LINES_MAX + 5):
        log.record(SecurityEvent.CREDENTIAL_REFUSED, {"peer": f"192.0.2.{number}"})
    log.record(SecurityEvent.SCOPE_REFUSED, {"key_id": "k1"})
    assert len(lines) == SECURITY_LINES_MAX + 1
    assert lines[0] == (SECURITY, {"name": "credential_refused", "peer": "192.0.2.0"})
    assert lines[-1] == (SECURITY, {"name": "scope_refused", "key_id": "k1"})
    now_s[0] = SECURITY_LINES_MS / 1000
    log.record(SecurityEvent.SCOPE_REFUSED, {})
    assert lines[SECURITY_LINES_MAX + 1 :] == [
        (SECURITY, {"name": "credential_refused", "left_out": 5}),
        (SECURITY, {"name": "scope_refused"}),
    ]


def test_events_of_a_process_are_written_and_counted_beyond_the_bound_of_repeats():
    stream = io.StringIO()
    configure("warning", "json", stream=stream)
    telemetry = ProcessTelemetry(Metrics())
    for _ in range(SECURITY_LINES_MAX + 1):
        telemetry.security(SecurityEvent.SCOPE_REFUSED, key_id="k1", route="GET /v1/users")
    lines = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == SECURITY_LINES_MAX
    assert {line["event"] for line in lines} == {"security"}
    assert lines[0]["name"] == "scope_refused"
    counted = f'clarion_security_events_total{{event="scope_refused"}} {SECURITY_LINES_MAX + 1}.0'
    assert counted in telemetry.metrics.exposition().decode()
