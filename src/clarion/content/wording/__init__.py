"""Numbers, money, dates and lists in the words of a locale (CLDR, by Babel), for every template language alike.

Whatever cannot be said raises `ValueError` with a text that a template's author understands. An unknown locale stands for
its nearest parent, at last for `en`; an unknown zone for UTC.
"""

from clarion.content.wording.lists import joined
from clarion.content.wording.moments import date, datetime, instant_ms, relative, time
from clarion.content.wording.numbers import money, number, percent, plural

__all__ = ["date", "datetime", "instant_ms", "joined", "money", "number", "percent", "plural", "relative", "time"]
