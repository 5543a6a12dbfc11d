"""Servers quote requests in their responses; no secret in such a quote is passed on."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.masking import MASK, mask_secrets, secrets_of

SECRET = "canary+/secret=0123"
SECRETS = secrets_of({"user": "me", "key": SECRET})


def basic(user):
    return "Basic " + base64.b64encode(f"{user}:{SECRET}".encode()).decode()


@pytest.mark.parametrize("user", ["api", "AC5af6", "", "longer than any", "ab"])
def test_an_authorization_is_masked_whole_or_cut_off(user):
    whole = f"bad {{'Authorization': '{basic(user)}', 'Accept': '*/*'}}"
    assert mask_secrets(whole, SECRETS) == f"bad {{'Authorization': 'Basic {MASK}', 'Accept': '*/*'}}"
    token = basic(user)
    for end in range(len(token) - 10, len(token)):
        assert token[6:end] not in mask_secrets(f"bad {token[:end]}", SECRETS)


@pytest.mark.parametrize("form", [SECRET, "canary%2B%2Fsecret%3D0123"])
def test_a_secret_is_masked_as_it_stands_in_urls_too(form):
    assert mask_secrets(f"GET /send?key={form}&to=1", SECRETS) == f"GET /send?key={MASK}&to=1"


@given(st.binary(max_size=20), st.binary(max_size=20), st.booleans())
def test_base64_around_a_secret_is_masked(before, after, for_urls):
    raw = before + SECRET.encode() + after
    text = (base64.urlsafe_b64encode if for_urls else base64.b64encode)(raw).decode()
    assert mask_secrets(f"token {text} is bad", SECRETS) == f"token {MASK} is bad"


@pytest.mark.parametrize(
    "words",
    [
        "Basic authentication failed",
        "HTTP 401: invalid_client",
        "aGVsbG8gd29ybGQ= is no base64 of ours",
        "5.1.1 <a@b.test>",
    ],
)
def test_other_words_stay(words):
    assert mask_secrets(words, SECRETS) == words
