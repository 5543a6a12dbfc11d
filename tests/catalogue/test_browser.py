"""Every template of the catalogue in a headless Chromium: without an error message, and no wider than a phone."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.template import Translation
from clarion_lab.machine.engines import is_required
from tests.catalogue.browser import CHROMIUM, Page, browser
from tests.catalogue.shelf import KEYS, LOCALES, reading, rendered, rendered_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None and not is_required(), reason="no chromium is installed"),
]

PHONE_PX = 375
# A toast as a phone or an inbox shows it.
CARD = """<!doctype html><html lang="{locale}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 0; color: #222; background: #fff; font: 16px sans-serif }} a {{ color: #0b57a4 }}</style></head>
<body><article style="margin:12px;padding:16px;border:1px solid #ccc">
<h1 style="font-size:16px">{title}</h1><p>{body}</p>{links}</article></body></html>"""
FAINT = Path(__file__).with_name("faint.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(Path(tmp_path_factory.mktemp("browser"))) as page:
        yield page


def card(locale: str, parts: dict[str, Any]) -> str:
    links = "".join(f'<a href="{escape(one["url"])}">{escape(one["label"])}</a> ' for one in parts.get("actions", ()))
    return CARD.format(locale=locale, title=escape(parts["title"]), body=escape(parts["body"]), links=links)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", KEYS)
def test_a_template_fits_a_telephone_and_can_be_read(page: Page, key: str, locale: str):
    parts = rendered(key, locale)
    page.look(PHONE_PX)
    for html in (parts[Channel.EMAIL]["html"], card(locale, parts[Channel.PUSH]), card(locale, parts[Channel.INAPP])):
        for dark in (False, True):
            page.look(PHONE_PX, dark=dark)
            page.show(html)
            assert page.ask("document.body.innerText.trim().length") > 0
            assert page.ask("document.documentElement.lang") == locale
            assert page.ask("document.documentElement.scrollWidth") <= PHONE_PX
            assert page.ask(FAINT) == []
    assert page.complaints == []


def test_what_is_too_wide_faint_or_broken_is_noticed(page: Page):
    page.look(PHONE_PX)
    page.show('<body><p style="width:600px;color:#aaa">pale</p><script>console.error("broken")</script></body>')
    assert page.ask("document.documentElement.scrollWidth") > PHONE_PX
    assert [text for text, _ratio in page.ask(FAINT)] == ["pale"]
    assert "broken" in page.complaints.pop()


def test_the_card_is_dark_for_those_who_prefer_it(page: Page):
    html = rendered("welcome", "en")[Channel.EMAIL]["html"]
    painted = []
    for dark in (False, True):
        page.look(PHONE_PX, dark=dark)
        page.show(html)
        painted.append(page.ask("getComputedStyle(document.querySelector('.card td')).backgroundColor"))
    assert painted == ["rgb(255, 255, 255)", "rgb(24, 32, 29)"]


def test_the_layout_reads_from_right_to_left(page: Page):
    source = reading().folder.templates["order-shipped"]
    arabic = msgspec.structs.replace(source, locales={**source.locales, "ar": Translation()})
    page.look(PHONE_PX)
    page.show(rendered_of("order-shipped", arabic, "ar")[Channel.EMAIL]["html"])
    assert page.ask("document.documentElement.dir") == "rtl"
    assert page.ask("document.documentElement.scrollWidth") <= PHONE_PX
    left = {
        name: page.ask(f"document.querySelector('.{name}').getBoundingClientRect().x") for name in ("label", "value")
    }
    assert left["label"] > left["value"]
    assert page.ask("getComputedStyle(document.querySelector('.title div')).textAlign") == "right"
