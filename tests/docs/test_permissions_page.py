"""The page about permissions is as the code says, and each route has its place in it."""

import pytest

from clarion_lab.pages import permissions
from tests.docs.walk import ROOT

PAGE = ROOT / "docs" / "permissions.md"


def test_the_page_is_as_the_code_says():
    text = PAGE.read_text(encoding="utf-8")
    assert permissions.page(text, permissions.all_routes()) == text, f"the page is stale: {permissions.RENEW}"


def test_a_page_without_a_place_for_a_block_is_refused():
    text = PAGE.read_text(encoding="utf-8").replace("<!-- generated: routes -->", "")
    with pytest.raises(ValueError, match="routes"):
        permissions.page(text, [])
