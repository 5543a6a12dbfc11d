"""A preview of a template of the catalogue has no warnings."""

import pytest

from clarion.control.templates.warnings import warnings_of
from clarion.domain.content import Category
from tests.catalogue.shelf import KEYS, LOCALES, reading, rendered


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", KEYS)
def test_a_template_of_the_catalogue_has_no_warnings(key: str, locale: str):
    folder = reading().folder
    name = folder.templates[key].category
    assert name is not None
    category = folder.categories[name]
    found = warnings_of(rendered(key, locale), Category(name, category.critical, category.priority))
    assert [(one.channel, one.code, one.detail) for one in found] == []
