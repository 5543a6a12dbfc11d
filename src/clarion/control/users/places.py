"""The zones, languages and territories in this installation's tz and CLDR data."""

from functools import lru_cache
from zoneinfo import available_timezones

from babel import Locale
from babel.localedata import locale_identifiers

from clarion.control.users.rules import Places


@lru_cache(maxsize=1)
def places() -> Places:
    """Return the valid zones, languages and territories."""
    territories = frozenset(Locale("en").territories)
    return Places(frozenset(available_timezones()), frozenset(locale_identifiers()), territories)
