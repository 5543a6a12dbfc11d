"""docs/providers agrees with the code, and the codes in vendors' data lead to the outcomes that `read` returns."""

import re

import pytest

from clarion.domain.outcome import Throttled, name_of
from clarion.providers import catalogue
from clarion.providers.answers import object_of
from clarion_lab.pages import outcomes, vendors
from tests.docs.walk import ROOT
from tests.providers import battery

FOLDER = ROOT / "docs" / "providers"
VENDORS = {vendor: module for (_, vendor), module in catalogue.load().items()}
TABLES = {name: table for name, table in battery.tables().items() if outcomes.tables_of(VENDORS[table["vendor"]])}


class Recorded(dict):
    """A vendor's table that records the last code looked up in it."""

    def get(self, key, default=None):
        found = super().get(key, default)
        if key in self:
            self.asked.append(found)
        return found


class Pattern:
    """A vendor's pattern that records the code of the last row that it matched."""

    def __init__(self, pattern, word, asked):
        self.pattern, self.word, self.asked = pattern, word, asked

    def _note(self, found):
        if found:
            self.asked.append(self.word)
        return found

    def search(self, text):
        return self._note(self.pattern.search(text))

    def fullmatch(self, text):
        return self._note(self.pattern.fullmatch(text))


def recorded(vendor, monkeypatch):
    """Make the tables of a vendor record their lookups; return the record as (table, code)."""
    asked = {}
    for name, table in outcomes.tables_of(vendor).items():
        words = asked.setdefault(name, [])
        if isinstance(table, dict):
            copy = Recorded(table)
            copy.asked = words
            monkeypatch.setattr(vendor, name, copy)
        else:
            rows = getattr(vendor, f"_{name}")
            noted = tuple((where, Pattern(what, word, words), word) for where, what, word in rows)
            monkeypatch.setattr(vendor, f"_{name}", noted)
    return asked


def test_pages_are_as_the_code_says():
    stale = vendors.stale(FOLDER)
    assert not stale, f"docs/providers: {', '.join(stale)} would be written otherwise now: {vendors.RENEW}"


def test_a_page_without_a_place_for_a_block_is_named(tmp_path):
    for path in FOLDER.glob("*.md"):
        (tmp_path / path.name).write_text(path.read_text())
    page = tmp_path / "twilio.md"
    page.write_text(page.read_text().replace("<!-- generated: failures -->", ""))
    with pytest.raises(ValueError, match=r"twilio\.md.*failures"):
        vendors.stale(tmp_path)


def test_a_vendor_without_a_page_gets_one(tmp_path):
    (tmp_path / "README.md").write_text((FOLDER / "README.md").read_text())
    assert "twilio.md" in vendors.stale(tmp_path)
    assert vendors.main([str(tmp_path), "--check"]) == 1
    assert vendors.main([str(tmp_path)]) == 0
    assert vendors.main([str(tmp_path), "--check"]) == 0
    assert "## What failures do" in (tmp_path / "twilio.md").read_text()


@pytest.mark.parametrize("vendor", VENDORS)
def test_examples_are_taken_by_the_fields_they_are_for(vendor):
    traits = VENDORS[vendor].TRAITS
    for field in (*traits.settings, *traits.credentials):
        example = vendors.EXAMPLES.get(field.name)
        if field.required and field.pattern and example not in (None, "..."):
            assert re.fullmatch(field.pattern, example), field.name


def status_decides(vendor, row):
    """Return whether a response has no code of the vendor's, or one that does not count."""
    uncoded = vendor == "postmark" and "ErrorCode" not in object_of(row.get("body", "").encode())
    return uncoded or (vendor == "twilio" and row["status"] >= 500)


@pytest.mark.parametrize("name", TABLES)
def test_words_mean_what_their_answers_become(name, monkeypatch):
    table = TABLES[name]
    vendor = VENDORS[table["vendor"]]
    asked = recorded(vendor, monkeypatch)
    for row in table["rows"]:
        for words in asked.values():
            words.clear()
        outcome = battery.answer(vendor, table, row)
        limited = isinstance(outcome, Throttled) and outcome.scope == "recipient"
        became = outcomes.PAUSED if limited else name_of(outcome)
        found = [(of, words[-1]) for of, words in asked.items() if words]
        listed = {each.outcome for of, word in found for each in outcomes.meanings_of(table["vendor"], of, word)}
        assert not found or became in listed or status_decides(table["vendor"], row), (row["case"], found)
