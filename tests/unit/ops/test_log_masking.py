"""Texts of log lines: secrets and addresses are masked by their look, other words stay."""

import pytest

from clarion.ops.log_masking import masked_text

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n+/==\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("the key clk_0190ab_Zm9vYmFyYmF6 is unknown", "the key *** is unknown"),
        ("line\nclo_" + "o" * 43, "line\n***"),
        ("'Bearer abcdef.ghi-jkl_mno=' and bearer 0123456789", "'Bearer ***' and bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln, then", "***, then"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=", "***"),
        ("xoxb-1234-5678-abc in SG.abcdefgh.ijkl", "*** in ***"),
        (f"loading {PEM} failed", "loading *** failed"),
        (f"loading {PEM!r} failed", "loading '***' failed"),
        ("at https://ada:secret1@host.test/path?token=abc&a=1", "at https://***@host.test/path?token=***&a=1"),
        ("{'password': 'hunter2', 'n': 1, \"api_key\": \"k\"}", "{'password': '***', 'n': 1, \"api_key\": \"***\"}"),
        ("client_secret=b'abc'", "client_secret=b'***'"),
        ("to ada@example.com, a@b.test and +4915112345678", "to ad***, a*** and +4***"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_or_an_address_is_masked(text, masked):
    assert masked_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "the token was refused: 401", "3 tokens of 5; basic checks, bearer of news", "ntf_0190019001900190 of user u1",
        "https://host.test:8443/a@b/c", "took 1790000000000 ms at 10.0.0.1:8400", "class_name of clk_", "no such key: data.n",
    ],
)  # fmt: skip
def test_other_words_stay(text):
    assert masked_text(text) == text


def test_long_texts_take_little_time():
    import time

    for piece in ("a@", "://", "password=", "-----BEGIN PRIVATE KEY-----", "eyJaaaaa.", "+4", "x" * 64 + "@"):
        text = piece * (200_000 // len(piece))
        began = time.thread_time()
        masked_text(text)
        assert time.thread_time() - began < 2, piece
