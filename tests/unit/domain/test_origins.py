"""Allowed origins: what tenants may write, and which pages it lets in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import InvalidField
from clarion.domain.limits import ORIGINS_MAX
from clarion.domain.origins import check_origins, is_allowed


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("https://*.example.com", "https://*.example.com"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://192.0.2.7", "https://192.0.2.7"),
        ("https://[2001:DB8:0::7]:8443", "https://[2001:db8::7]:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:5173", "http://[::1]:5173"),
    ],
)
def test_origins_are_stored_as_browsers_write_them(text, stored):
    assert check_origins([text, text]) == (stored,)
    assert check_origins([stored]) == (stored,)


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "null", "https://*", "https://*.com", "https://*.*.example.com", "https://a.*.example.com", "https://*example.com",
        "https://app.example.com/", "https://app.example.com/path", "https://user@app.example.com", "http://app.example.com",
        "http://*.localhost", "https://app.example.com:0", "https://app.example.com:65536", "https://app..example.com",
        "https://-app.example.com", "https://bücher.example", "https://*.192.0.2.7", "https://192.0.2.999", "https://[::g]",
        "https://app.example.com\n", "ftp://app.example.com", "app.example.com", "https://" + "a." * 200 + "com",
    ],
)  # fmt: skip
def test_what_is_no_origin_or_too_many_is_refused_by_its_place(text):
    with pytest.raises(InvalidField) as error:
        check_origins(["https://good.example", text])
    assert error.value.field == "origins[1]"


def test_the_number_of_origins_is_bounded():
    with pytest.raises(InvalidField) as error:
        check_origins([f"https://a{number}.example" for number in range(ORIGINS_MAX + 1)])
    assert error.value.field == "origins"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", True),
        ("https://tenant.example.org", True),
        ("https://a_b-c.example.org", True),
        ("https://example.org", False),
        ("https://a.b.example.org", False),
        ("https://.example.org", False),
        ("https://tenant.example.org:8443", False),
        ("http://tenant.example.org", False),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.example", False),
        ("https://evilapp.example.com", False),
        ("https://evil.example/.example.org", False),
        ("https://evil.example?.example.org", False),
        ("https://tenant.example.org\r\nx", False),
        ("null", False),
        ("*", False),
        ("", False),
    ],
)
def test_exact_origins_and_one_label_before_a_wildcard_are_let_in(origin, allowed):
    assert is_allowed(origin, check_origins(["https://app.example.com", "https://*.example.org"])) == allowed


@given(st.one_of(st.text(max_size=60), st.from_regex(r"https?://(\*\.)?[a-z.:*\[\]0-9-]{1,30}", fullmatch=True)))
def test_what_is_accepted_is_canonical_and_lets_itself_in(text):
    try:
        stored = check_origins([text])
    except InvalidField:
        return
    assert check_origins(stored) == stored
    assert is_allowed(stored[0].replace("*", "label"), stored)
