"""The page about roles is as the code says."""

from clarion_lab.pages import roles
from clarion_lab.pages.permissions import all_routes
from tests.docs.walk import ROOT

PAGE = ROOT / "docs" / "roles.md"


def test_the_page_is_as_the_code_says():
    text = PAGE.read_text(encoding="utf-8")
    assert roles.page(text, all_routes()) == text, f"the page is stale: {roles.RENEW}"
