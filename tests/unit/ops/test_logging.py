"""Log lines: structured, tagged with their role, and without secrets or whole addresses."""

import io
import json
import logging
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog

from clarion.ops.logging import MASK, configure, mask

pytestmark = pytest.mark.usefixtures("restored_logging")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "key", ["password", "smtp_password", "Authorization", "api_key", "client_secret", "operator_key", "access_token"]
)
def test_secrets_are_masked_at_any_depth(key):
    event = mask(None, "info", {"event": "x", "a": [{"b": {key: "hunter2", "other": 1}}]})
    assert "hunter2" not in json.dumps(event)
    assert event["a"][0]["b"] == {key: MASK, "other": 1}


def test_addresses_are_shortened():
    event = mask(None, "info", {"email": "ada@example.com", "to": ["+4915112345678", "bob"], "user": "u1"})
    assert event == {"email": "ad***", "to": ["+4***", "bo***"], "user": "u1"}


def test_our_lines_and_those_of_libraries_are_json_with_a_role():
    stream = io.StringIO()
    configure("info", "json", role="worker-1", stream=stream)
    structlog.get_logger().info("planned", tenant="t1", count=3, token="t0p")
    structlog.get_logger().debug("not written")
    logging.getLogger("some.library").warning("odd %s", "thing")
    ours, theirs = lines(stream)
    assert ours["event"] == "planned"
    assert (ours["role"], ours["tenant"], ours["count"], ours["token"]) == ("worker-1", "t1", 3, MASK)
    assert (theirs["event"], theirs["role"], theirs["level"]) == ("odd thing", "worker-1", "warning")


def test_times_are_in_utc():
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    structlog.get_logger().info("ours")
    logging.getLogger("some.library").warning("theirs")
    for line in lines(stream):
        written = datetime.fromisoformat(str(line["timestamp"]))
        assert written.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - written) < timedelta(minutes=10)


def test_the_console_form_is_for_people():
    stream = io.StringIO()
    configure("debug", "console", stream=stream)
    structlog.get_logger().debug("hello", n=1)
    assert "hello" in stream.getvalue()
    assert "n=1" in stream.getvalue()


@pytest.mark.parametrize("name", ["azure.core", "botocore.parsers", "google.auth", "msal.application"])
def test_libraries_of_secret_stores_write_no_responses(name):
    configure("debug", "json", stream=io.StringIO())
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)
