"""Which headers of fetch steps are secrets, and what a sealed one is bound to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.fetch_headers import carries_credentials, is_secret, origin_of, record_of
from clarion.domain.workflow import Fetch, SecretHeader

CARRIERS = [
    "Authorization", "cookie", "X-Api-Key", "X-AUTH", "X-Amz-Security-Token", "client-secret", "X-Password",
    "X-Hub-Signature-256", "my-credentials",
]  # fmt: skip


@pytest.mark.parametrize("name", CARRIERS)
def test_a_header_carries_credentials_by_its_name(name):
    assert carries_credentials(name)
    assert is_secret(name, "abc")


@pytest.mark.parametrize("name", ["Accept", "Content-Type", "User-Agent", "X-Source", "X-Request-Id"])
def test_another_header_does_not(name):
    assert not carries_credentials(name)
    assert not is_secret(name, "abc")


@pytest.mark.parametrize("text", ["", "{data.token}", "Bearer {user.token}"])
def test_text_with_an_expression_is_no_secret(text):
    assert not is_secret("Authorization", text)


SAME = [
    "https://api.example.com/a", "https://api.example.com", "HTTPS://API.example.COM:443/b?x={data.y}",
    "https://api.example.com:/?q", "https://api.example.com#f", "https://api.example.com?x=https://evil.example",
]  # fmt: skip
OTHERS = [
    "http://api.example.com/a", "https://api.example.com:8443/a", "https://api.example.com:0/a", "https://api.example.org/a", "https://example.com/a",
    "https://api.example.com./a", "https://api.example.com.evil.example/a", r"https://evil.example\.api.example.com/",
    r"https://api.example.com\.evil.example/", "https://[::1]/a", "https://[::1]:8443/a", "https://[::2]/a",
    "https://api.example.com%2eevil.example/", "https://\u212aey.example/", "https://key.example/",
]  # fmt: skip


def test_urls_of_one_origin_have_one_form_and_others_another():
    assert {origin_of(url) for url in SAME} == {"https://api.example.com:443"}
    assert len({origin_of(url) for url in [SAME[0], *OTHERS]}) == 1 + len(OTHERS)
    assert origin_of("http://[::1]:80/") == origin_of("http://[::1]/") == "http://[::1]:80"


PLACES = st.tuples(
    st.text('ab:",[]', min_size=1, max_size=4),
    st.text("ab_", min_size=1, max_size=4),
    st.text('ab:",[]', min_size=1, max_size=4),
    st.sampled_from(["https://a.example/", "https://b.example/", "http://a.example/", "https://a.example:8/"]),
)


@given(PLACES, PLACES)
def test_two_places_have_two_records(one, other):
    assert (record_of(*one) == record_of(*other)) == (one == other)


def test_the_case_of_a_headers_name_and_the_path_do_not_matter():
    one = record_of("w", "ask", "X-Key", "https://x.test/a")
    assert one == record_of("w", "ask", "x-key", "https://X.test:443/b/{data.n}")


def test_no_repr_shows_a_secret():
    header = SecretHeader(secret="c4nary")
    step = Fetch(name="ask", url="https://x.test/c4nary", headers={"Authorization": "c4nary", "X-Key": header})
    assert "c4nary" not in repr(header) + repr(step)
