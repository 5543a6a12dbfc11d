"""The choice of the locale for a reader."""

import pytest

from clarion.domain.errors import InvalidField
from clarion.domain.locales import best, canonical, chain, check_language, is_right_to_left, spoken


@pytest.mark.parametrize(
    ("wanted", "available", "fallbacks", "chosen"),
    [
        ("pt-BR", {"pt-BR", "pt", "en"}, ("en",), "pt-BR"),
        ("pt-BR", {"pt", "en"}, ("en",), "pt"),
        ("pt_BR", {"pt", "en"}, ("en",), "pt"),
        ("pt-BR", {"es", "en"}, ("es-MX", "en"), "es"),
        ("", {"es", "en"}, ("", "en"), "en"),
        ("zh-Hant-TW", {"zh-Hant", "zh"}, (), "zh-Hant"),
        ("zh-TW", {"zh-Hant-TW", "zh-Hant", "zh"}, (), "zh-Hant-TW"),
        ("zh-HK", {"zh-Hant", "zh"}, (), "zh-Hant"),
        ("zh-CN", {"zh-Hant", "zh"}, (), "zh"),
        ("zh-TW", {"zh-TW", "zh-Hant"}, (), "zh-TW"),
        ("DE_at", {"de-AT", "de"}, (), "de-AT"),
        ("EN-XX", {"en"}, (), "en"),
        ("fr", {"en"}, (), None),
    ],
)
def test_the_nearest_is_chosen(wanted, available, fallbacks, chosen):
    assert best(wanted, available, *fallbacks) == chosen


def test_a_chain_ends_whatever_it_starts_with():
    assert list(chain("a-b_c")) == ["a-b-c", "a-b", "a"]
    assert list(chain("")) == []
    assert len(list(chain("-" * 10_000))) <= 35


@pytest.mark.parametrize(("tag", "spelt"), [("PT_br", "pt-BR"), ("en", "en"), ("zh-hant-tw", "zh-Hant-TW")])
def test_a_tag_has_one_spelling(tag, spelt):
    assert canonical(tag, "locale") == spelt


@pytest.mark.parametrize("tag", ["", "xx", "en-", "en-XX", "../../etc/passwd", "e" * 100, "en\n"])
def test_an_invalid_locale_is_refused_by_name(tag):
    with pytest.raises(InvalidField) as refused:
        canonical(tag, "locales.x")
    assert refused.value.field == "locales.x"


@pytest.mark.parametrize(
    ("wanted", "content", "written"),
    [("en-GB", "en", "en-GB"), ("fr", "en", "en"), ("", "de", "de"), ("en-XX", "en", "en-XX"), ("en", "en-GB", "en")],
)
def test_numbers_are_written_in_the_language_of_the_text(wanted, content, written):
    assert spoken(wanted, content) == written


def test_a_readers_locale_has_an_existing_language():
    for tag in ("", "de", "DE_at", "en-XX", "zh-Hant"):
        check_language(tag, "to.locale")
    for tag in ("xx", "../../etc/passwd", "en\n", "-", "e" * 100):
        with pytest.raises(InvalidField) as refused:
            check_language(tag, "to.locale")
        assert (refused.value.field, refused.value.code) == ("to.locale", "unknown_locale")


def test_right_to_left():
    assert is_right_to_left("ar-EG")
    assert is_right_to_left("he")
    assert not is_right_to_left("de")
    assert not is_right_to_left("nonsense")
