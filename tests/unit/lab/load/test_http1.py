from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion_lab.load.http1 import Answer, AnswerParser, WireError, request_bytes

WHOLE = b'HTTP/1.1 202 Accepted\r\ndate: x\r\nContent-Length: 12\r\n\r\n{"id":"abc"}'


@given(st.lists(st.integers(1, len(WHOLE) - 1), unique=True).map(sorted))
def test_an_answer_is_the_same_however_its_bytes_are_cut(cuts: list[int]) -> None:
    parser = AnswerParser()
    edges = [0, *cuts, len(WHOLE)]
    answers = [parser.feed(WHOLE[a:b]) for a, b in pairwise(edges)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] == Answer(202, b'{"id":"abc"}')


def test_a_parser_reads_one_answer_after_the_other() -> None:
    parser = AnswerParser()
    assert parser.feed(WHOLE) == parser.feed(WHOLE)


def test_retry_after_is_read_in_seconds() -> None:
    answer = AnswerParser().feed(b"HTTP/1.1 503 Busy\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n")
    assert answer == Answer(503, b"", 3.0)


def test_204_has_no_body() -> None:
    assert AnswerParser().feed(b"HTTP/1.1 204 No Content\r\n\r\n") == Answer(204, b"")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        WHOLE + b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_an_unparsable_answer_is_an_error_that_may_have_been_sent(wire: bytes) -> None:
    with pytest.raises(WireError) as caught:
        AnswerParser().feed(wire)
    assert caught.value.sent


def test_a_request_carries_its_length_key_and_further_headers() -> None:
    raw = request_bytes("POST", "/v1/x", "h:1", "k", b"{}", extra={"idempotency-key": "a"})
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n") == [
        b"POST /v1/x HTTP/1.1",
        b"host: h:1",
        b"content-length: 2",
        b"content-type: application/json",
        b"authorization: Bearer k",
        b"idempotency-key: a",
    ]
