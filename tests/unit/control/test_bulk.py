"""The lines of a bulk import: independent of how the stream is cut, each checked on its own."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clarion.control.users.bulk import LineCutter, LineError, Report, check, decode
from clarion.control.users.places import places
from clarion.control.users.rules import Known
from clarion.domain.limits import BULK_ERRORS_MAX, BULK_LINE_BYTES_MAX, JSON_DEPTH_MAX

texts = st.binary(max_size=200).map(lambda text: text.replace(b"\r", b"\n"))


@given(texts, st.lists(st.integers(min_value=0, max_value=200)))
def test_lines_do_not_depend_on_where_the_stream_was_cut(text, cuts):
    ends = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(ends)]
    cutter = LineCutter()
    lines = [line for piece in pieces for line in cutter.feed(piece)] + cutter.end()
    wanted = [(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip(b" \t\r\n")]
    assert lines == wanted


def test_an_endless_line_is_refused_alone_and_never_held_whole():
    cutter = LineCutter()
    lines = cutter.feed(b'{"id": "a"}\n')
    for _ in range(10):
        lines += cutter.feed(b"x" * BULK_LINE_BYTES_MAX)
        assert len(cutter._rest) <= BULK_LINE_BYTES_MAX + 1
    lines += cutter.feed(b'\n{"id": "b"}')
    lines += cutter.end()
    good, errors = decode(lines)
    assert [(number, line.id) for number, line in good] == [(1, "a"), (3, "b")]
    assert [(error.line, error.reason) for error in errors] == [(2, f"is longer than {BULK_LINE_BYTES_MAX} bytes")]


def test_each_line_is_refused_for_its_own_reason():
    lines = [
        b'{"id": "good", "email": "a@example.com"}',
        b'{"id": "cut',
        b'{"email": "a@example.com"}',
        b'{"id": 7}',
        b'{"id": "x", "colour": "red"}',
        b'{"id": "x", "devices": [{"id": "d", "channel": "fax", "token": "t"}]}',
        b'{"id": "x", "attributes": {"a": ' + b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX + b"}}",
        b'{"id": "x", "attributes": {"a": ' + b"[" * 100_000 + b"}}",
        b'"\xff"',
        b'{"id": "x", "attributes": {"a": "\\ud800"}}',
        b'{"id": "x", "phone": "12"}',
        b'{"id": "", "locale": "en"}',
        b'{"id": "x", "preferences": {"spam": {}}}',
    ]
    shaped, misshapen = decode(list(enumerate(lines, 1)))
    users, wrong = check(shaped, places(), Known({}, set()))
    assert [user.user_id for user in users] == ["good"]
    fields = {error.line: error.field for error in misshapen + wrong}
    assert fields.keys() == set(range(2, len(lines) + 1))
    assert [fields[number] for number in (4, 6, 11, 12, 13)] == [
        "id", "devices[0].channel", "phone", "id", "preferences.spam",
    ]  # fmt: skip


@given(st.recursive(st.none() | st.booleans() | st.text() | st.floats() | st.integers(), st.lists, max_leaves=20))
def test_no_json_text_breaks_the_import(value):
    for text in (json.dumps(value), json.dumps({"id": "x", "attributes": {"a": value}}), json.dumps({"id": value})):
        shaped, misshapen = decode([(1, text.encode())])
        users, wrong = check(shaped, places(), Known({}, set()))
        assert len(users) + len(misshapen) + len(wrong) == 1


def test_the_report_counts_all_and_shows_the_first():
    report = Report()
    for start in range(0, 3 * BULK_ERRORS_MAX, 700):
        report.refuse([LineError(start + step, None, "no") for step in range(700)])
    assert report.failed > len(report.errors) == BULK_ERRORS_MAX
    assert [error.line for error in report.errors] == list(range(BULK_ERRORS_MAX))
    assert Report().errors == []
