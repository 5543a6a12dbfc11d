"""A message as DATA takes it (RFC 5321 4.5.2)."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.outbound.net.smtp_session import wire_form


def received(wire):
    """Return the message as a server reads it: up to the first lone dot, leading dots removed."""
    lines = wire.split(b"\r\n")
    end = lines.index(b".")
    assert lines[end + 1 :] == [b""]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:end])


@given(
    st.lists(st.sampled_from([b".", b"..", b"\r", b"\n", b"\r\n", b"a", b"\r\n.\r\n", b"\r\n.\r\nMAIL FROM:<x>\r\n"]))
)
@example([b"\n.\n"])
@example([b"\r.\r"])
@example([])
def test_the_server_gets_the_message_and_nothing_after_it(pieces):
    payload = b"".join(pieces)
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", payload)
    expected = lines if lines.endswith(b"\r\n") else lines + b"\r\n"
    assert received(wire_form(payload)) == expected


@pytest.mark.parametrize(
    ("payload", "wire"), [(b"a\r\n", b"a\r\n.\r\n"), (b".a", b"..a\r\n.\r\n"), (b"", b"\r\n.\r\n")]
)
def test_examples(payload, wire):
    assert wire_form(payload) == wire
