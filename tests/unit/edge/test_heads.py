"""A head without its offer to upgrade says the same as before in all else."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.edge.heads import RefusedRequest, check_head, end_of_head, line_goes_on, without_upgrade

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=12).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=20).map(
    lambda text: text.encode("latin-1")
)
FRAMING = {b"content-length", b"transfer-encoding", b"upgrade", b"connection", b"http2-settings", b"keep-alive"}


class Head:
    """The head that a parser reads."""

    def __init__(self, head):
        self.target, self.headers, self.parser = b"", [], httptools.HttpRequestParser(self)
        self.complete = 0
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self.complete = -1

    def on_url(self, part):
        self.target += part

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_headers_complete(self):
        self.complete += 1


@given(st.lists(st.tuples(TOKENS.filter(lambda name: name not in FRAMING), VALUES), max_size=8))
def test_only_the_offer_is_left_out(headers):
    offered = [
        *headers[:3], (b"connection", b"Upgrade , HTTP2-Settings"), (b"upgrade", b"h2c"), (b"http2-settings", b"AAE"), *headers[3:],
    ]  # fmt: skip
    read = Head(without_upgrade(b"POST", b"/a?b", "1.1", offered))
    assert read.complete == 1
    assert (read.parser.get_method(), read.target, read.parser.get_http_version()) == (b"POST", b"/a?b", "1.1")
    assert read.headers == headers
    assert not read.parser.should_upgrade()


def test_other_options_of_the_connection_stay():
    kept = Head(
        without_upgrade(b"GET", b"/", "1.1", [(b"connection", b"close, upgrade"), (b"upgrade", b"a"), (b"x", b"")])
    )
    assert kept.headers == [(b"connection", b"close"), (b"x", b"")]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a"]), max_size=12), st.integers(0, 30))
def test_the_end_of_a_head_is_found_wherever_it_is_cut(pieces, cut):
    whole = b"".join(pieces)
    before, data = whole[:cut], whole[cut:]
    if b"\r\n\r\n" in before:
        return
    found = end_of_head(before[-3:], data, 0)
    end = whole.find(b"\r\n\r\n")
    assert found == (len(data) if end < 0 else end + 4 - len(before))


@given(st.integers(0, 16), st.booleans())
def test_a_request_line_goes_on_until_it_ends_wherever_it_is_cut(cut, after_empty_line):
    whole = b"\r\n" * after_empty_line + b"GET / HTTP/1.1\r\nx:  y"
    goes_on = line_goes_on(b"", whole[:cut]) if cut else True
    assert goes_on == (b"1\r\n" not in whole[:cut])
    if goes_on:
        assert not line_goes_on(whole[:cut][-3:], whole[cut:])


@pytest.mark.parametrize(("scheme", "target"), [("http", b"http://a/b"), ("https", b"HTTPS://A/"), ("http", b"*")])
def test_an_absolute_target_may_repeat_what_is_known(scheme, target):
    check_head(target, "1.1", {b"host": b"a"}, scheme)
    if target != b"*":
        for host, own in ((b"b", scheme), (b"a", "other")):
            with pytest.raises(RefusedRequest, match="target names another"):
                check_head(target, "1.1", {b"host": host}, own)
