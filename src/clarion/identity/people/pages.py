"""The pages on which people sign in: plain HTML that needs no script, fits a narrow screen and is read by a screen reader. Every text of others
is escaped; the one style is permitted by its digest, and nothing is loaded from anywhere."""

import base64
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Final, NamedTuple

_STYLE: Final = """
:root { color-scheme: light dark; --line: #767d88; --ink: #14181f; --paper: #fff; --back: #f2f4f7; --act: #1d4ed8; --on: #fff;
  --bad: #a11616 }
@media (prefers-color-scheme: dark) { :root { --line: #8a93a2; --ink: #e6e9ef; --paper: #1b2029; --back: #12151b;
  --act: #8fb4ff; --on: #0c1424; --bad: #ff9d94 } }
* { box-sizing: border-box }
body { margin: 0; padding: 1rem; font: 1.0625rem/1.5 system-ui, sans-serif; background: var(--back); color: var(--ink) }
main { max-width: 26rem; margin: 2rem auto; padding: 1.5rem; border-radius: .75rem; background: var(--paper) }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25 }
h2 { margin: 2rem 0 .5rem; font-size: 1.125rem }
h1, p, li, td { overflow-wrap: anywhere }
label { display: block; margin-top: 1rem; font-weight: 600 }
input[type=text], input[type=email], input[type=password], select { width: 100%; min-height: 2.75rem; margin-top: .25rem;
  padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .375rem; font: inherit; background: var(--paper);
  color: inherit }
button, a.button { display: inline-block; min-height: 2.75rem; margin-top: 1.25rem; padding: .5rem 1.25rem; border: 0;
  border-radius: .375rem; font: inherit; font-weight: 600; text-decoration: none; background: var(--act); color: var(--on);
  cursor: pointer }
a { color: var(--act) }
a.button { width: 100%; text-align: center }
button.plain { padding: .25rem .75rem; min-height: 2.25rem; margin: .25rem 0; background: none; color: var(--act);
  border: 1px solid var(--act) }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px }
.error { padding: .75rem 1rem; border: 2px solid var(--bad); border-radius: .375rem; color: var(--bad) }
.hint { margin: .25rem 0 0; font-size: .9375rem }
ul { padding-left: 1.25rem }
code { font-size: 1.0625rem; overflow-wrap: anywhere }
"""
CSP: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
"""The content security policy of these pages."""
_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} · Clarion</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


class Field(NamedTuple):
    """A field of a form. `complete` is what password managers know it by."""

    name: str
    label: str
    kind: str = "text"
    complete: str = "off"
    value: str = ""
    hint: str = ""
    numeric: bool = False


class Problem(NamedTuple):
    """What is wrong with what was sent, and in which field."""

    detail: str
    field: str = ""


def page(title: str, *parts: str) -> bytes:
    """Return a page."""
    return _FRAME.format(title=escape(title), style=_STYLE, body="\n".join(part for part in parts if part)).encode()


def text(words: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(words)}</p>"


def heading(words: str) -> str:
    """Return the heading of a part."""
    return f"<h2>{escape(words)}</h2>"


def link(address: str, words: str, *, button: bool = False) -> str:
    """Return a link, on a line of its own."""
    kind = ' class="button"' if button else ""
    return f'<p><a{kind} href="{escape(address)}">{escape(words)}</a></p>'


def codes(found: Sequence[str]) -> str:
    """Return a list of codes."""
    return "<ul>" + "".join(f"<li><code>{escape(one)}</code></li>" for one in found) + "</ul>"


def form(
    action: str,
    button: str,
    fields: Sequence[Field] = (),
    hidden: dict[str, str] | None = None,
    problem: Problem | None = None,
    *,
    plain: bool = False,
) -> str:
    """Return a form that is sent by POST, with what was wrong before it, named to screen readers."""
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in (hidden or {}).items()
    )
    wrong = (
        "" if problem is None else f'<p class="error" role="alert" id="error">{escape(_sentence(problem.detail))}</p>'
    )
    shown = "".join(_field(one, problem) for one in fields)
    kind = ' class="plain"' if plain else ""
    return (
        f'{wrong}<form method="post" action="{escape(action)}">{kept}{shown}'
        f"<button{kind}>{escape(button)}</button></form>"
    )


def _field(one: Field, problem: Problem | None) -> str:
    wrong = ' aria-invalid="true" aria-describedby="error"' if problem is not None and problem.field == one.name else ""
    hint = f'<p class="hint" id="{one.name}-hint">{escape(one.hint)}</p>' if one.hint else ""
    described = f' aria-describedby="{one.name}-hint"' if one.hint and not wrong else ""
    numeric = ' inputmode="numeric"' if one.numeric else ""
    return (
        f'<label for="{one.name}">{escape(one.label)}</label>'
        f'<input id="{one.name}" name="{one.name}" type="{one.kind}" autocomplete="{one.complete}" value="{escape(one.value)}"'
        f" required{numeric}{wrong}{described}>{hint}"
    )


def _sentence(detail: str) -> str:
    return f"{detail[:1].upper()}{detail[1:]}."
