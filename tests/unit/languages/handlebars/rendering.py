"""Rendering for these tests: data by name and as `data`, a user, and a time."""

from clarion.languages.handlebars.engine import HandlebarsRenderer

RENDERER = HandlebarsRenderer()
AT_MS = 1_795_255_200_000  # 2026-11-21T10:00:00Z


def context(data, *, user=None, locale="en", zone="UTC"):
    return {**data, "data": data, "user": user or {}, "brand": {}, "_locale": locale, "_zone": zone, "_at_ms": AT_MS}


def render(source, *, html=False, user=None, locale="en", zone="UTC", **data):
    return RENDERER.compile(source, html=html)(context(data, user=user, locale=locale, zone=zone))
