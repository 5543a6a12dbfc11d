"""Formatting of numbers, money, dates and lists in a locale (CLDR, by Babel), the same for every template language.

A value that cannot be formatted raises `ValueError` with a text for the template's author. An unknown locale falls back
to its nearest parent, finally to `en`; an unknown zone to UTC.
"""

from clarion.content.formats.lists import joined
from clarion.content.formats.moments import date, datetime, instant_ms, relative, time
from clarion.content.formats.numbers import money, number, percent, plural

__all__ = ["date", "datetime", "instant_ms", "joined", "money", "number", "percent", "plural", "relative", "time"]
