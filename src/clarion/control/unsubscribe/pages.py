"""The pages of unsubscribe links: plain HTML that needs no script and fits a narrow screen."""

from html import escape
from typing import Final

from clarion.domain.template import Brand

_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>
body {{ margin: 0; padding: 1.5rem; font: 1.0625rem/1.5 {font}; background: {background}; color: {text} }}
main {{ max-width: 30rem; margin: 3rem auto; padding: 1.5rem; border-radius: .5rem; background: {surface} }}
h1 {{ margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25 }}
p, h1 {{ overflow-wrap: anywhere }}
button {{ min-height: 3rem; padding: .5rem 1.5rem; border: 2px solid; border-radius: .375rem; font: inherit;
  background: {primary}; color: {on_primary}; cursor: pointer }}
button:focus-visible {{ outline: 3px solid {text}; outline-offset: 3px }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_BUTTON: Final = """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe</button>
</form>"""


def question(brand: Brand, category: str, address: str) -> bytes:
    """Return the page with the button; opening it changes nothing."""
    to = f" to {escape(address)}" if address else ""
    return _page(
        brand, f"Unsubscribe{_from(brand)}?", f"<p>No more e-mail about “{escape(category)}”{to}.</p>\n{_BUTTON}"
    )


def done(brand: Brand, category: str) -> bytes:
    """Return the page that confirms the opt-out."""
    about = f"You will get no more e-mail about “{escape(category)}”{escape(_from(brand))}."
    return _page(brand, "You are unsubscribed", f"<p>{about} Messages already on their way may still arrive.</p>")


def unknown() -> bytes:
    """Return the page of an invalid link."""
    return _page(
        Brand(), "This link does not work", "<p>It may have been cut off. Please copy the whole link of the e-mail.</p>"
    )


def not_understood() -> bytes:
    """Return the page of a POST that is not a one-click form."""
    return _page(Brand(), "Nothing was changed", "<p>Please open the link again and press the button.</p>")


def _from(brand: Brand) -> str:
    return f" from {brand.name}" if brand.name else ""


def _page(brand: Brand, title: str, body: str) -> bytes:
    # A brand's colours and fonts were checked when it was stored; they are escaped nevertheless, so that they cannot
    # end the style.
    styles = {
        "font": brand.font_family,
        "background": brand.background_color,
        "text": brand.text_color,
        "surface": brand.surface_color,
        "primary": brand.primary_color,
        "on_primary": brand.on_primary_color,
    }
    shown = {name: escape(value) for name, value in styles.items()}
    return _FRAME.format(title=escape(title), body=body, **shown).encode()
