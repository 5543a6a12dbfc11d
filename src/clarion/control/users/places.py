"""The zones, languages and territories that this installation's tz and CLDR data know."""

from functools import lru_cache
from zoneinfo import available_timezones

from babel import Locale
from babel.localedata import locale_identifiers

from clarion.control.users.rules import Places


@lru_cache(maxsize=1)
def places() -> Places:
    """Return what a locale and a zone may be made of."""
    territories = frozenset(Locale("en").territories)
    return Places(frozenset(available_timezones()), frozenset(locale_identifiers()), territories)
