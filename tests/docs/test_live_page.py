"""The page of the gateway names every code, frame and limit as they are."""

import re
from pathlib import Path

import msgspec

from clarion.domain import limits_gateway as limits
from clarion.domain.limits_processes import INBOX_MISSED_MAX
from clarion.gateway import feed, hub, messages, presence
from clarion.gateway.codes import REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "live.md").read_text(encoding="utf-8")


def test_all_codes_with_their_reasons():
    rows = re.findall(r"^\| (\d{4}) \| (.*) \|$", PAGE, re.MULTILINE)
    assert {int(code): reason for code, reason in rows} == {int(code): reason for code, reason in REASONS.items()}


def test_all_frames():
    rows = set(re.findall(r"^\| (client|gateway) \| `(\w+)` \|", PAGE, re.MULTILINE))
    made = {"welcome", "pong", "goodbye", "reload"}
    for module in (messages, feed, hub):
        made |= set(re.findall(r'opened_as\("(\w+)"', Path(module.__file__).read_text(encoding="utf-8")))
    made |= {frame.__struct_config__.tag for frame in (feed.ItemFrame, feed.CountsFrame, presence.PresenceFrame)}
    asked = {msgspec.json.decode(msgspec.json.encode(one))["type"] for one in (messages.Hello(), messages.Ping())}
    assert rows == {("gateway", kind) for kind in made} | {("client", kind) for kind in asked}


def test_limits():
    for text in (
        f"{limits.FRAME_BYTES_MAX // 1024} KiB each; {limits.FRAMES_PER_S_MAX} a second, {limits.FRAMES_PER_S_MAX * 2} at once",
        f"within {limits.HELLO_WAIT_MS_MAX // 1000} s",
        f"after {limits.PING_INTERVAL_MS // 1000} s the gateway pings; without an answer it closes {limits.PONG_WAIT_MS_MAX // 1000} s later",
        f"{limits.UNSENT_SOCKET_BYTES_MAX // 1024} KiB, or {limits.SLOW_READER_MS_MAX // 1000} s",
        f"{limits.SOCKETS_PER_USER_MAX} of a user, {limits.SOCKETS_PER_TENANT_MAX:,} of a tenant",
        f"{INBOX_MISSED_MAX} items or marks",
    ):
        assert text in PAGE, text
