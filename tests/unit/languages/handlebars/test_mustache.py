"""Mustache runs unchanged: cases based on its specification, and the intentional differences."""

import pytest

from clarion.ports.renderer import RenderError
from tests.unit.languages.handlebars.rendering import render

PERSON = {"person": {"name": "Ada", "city": {"name": "London"}}}

CASES = {
    "no tags": ("Just { text }\n", {}, "Just { text }\n"),
    "a name": ("Hello, {{subject}}!", {"subject": "world"}, "Hello, world!"),
    "blanks inside a tag": ("| {{  word }} |", {"word": "-"}, "| - |"),
    "blanks around a tag": ("  {{word}}\n", {"word": "-"}, "  -\n"),
    "escaped": ("{{sign}}", {"sign": '& " < >'}, '& " < >'),
    "three braces": ("{{{sign}}}", {"sign": '& " < >'}, '& " < >'),
    "an ampersand": ("{{&sign}}", {"sign": '& " < >'}, '& " < >'),
    "an integer": ("{{miles}} miles", {"miles": 85}, "85 miles"),
    "a decimal": ("{{power}} jiggawatts", {"power": 1.21}, "1.21 jiggawatts"),
    "null is nothing": ("({{cannot}})", {"cannot": None}, "()"),
    "a dotted name": ("{{person.name}} = {{#person}}{{name}}{{/person}}", PERSON, "Ada = Ada"),
    "a long dotted name": ("{{person.city.name}}", PERSON, "London"),
    "the item itself": ("{{#list}}({{.}}){{/list}}", {"list": [1, 2.5, "a"]}, "(1)(2.5)(a)"),
    "true shows": ("{{#on}}shown{{/on}}", {"on": True}, "shown"),
    "false hides": ("({{#on}}shown{{/on}})", {"on": False}, "()"),
    "null hides": ("({{#on}}shown{{/on}})", {"on": None}, "()"),
    "missing hides": ("({{#on}}shown{{/on}})", {}, "()"),
    "a map is the context": ("{{#person}}Hi {{name}}.{{/person}}", PERSON, "Hi Ada."),
    "names further out": ("{{#person}}{{name}}, {{greeting}}{{/person}}", {**PERSON, "greeting": "hi"}, "Ada, hi"),
    "the nearest name wins": ("{{#a}}{{x}}{{#b}}{{x}}{{/b}}{{/a}}", {"x": 0, "a": {"x": 1, "b": {"y": 2}}}, "11"),
    "a list": ("{{#list}}{{item}}{{/list}}", {"list": [{"item": 1}, {"item": 2}]}, "12"),
    "an empty list": ("({{#list}}x{{/list}})", {"list": []}, "()"),
    "a section again": ("{{#on}}a{{/on}} b {{#on}}c{{/on}}", {"on": True}, "a b c"),
    "sections inside": ("{{#on}}a {{#on}}b{{/on}} c{{/on}}", {"on": True}, "a b c"),
    "lists inside lists": ("{{#rows}}{{#.}}{{.}}{{/.}};{{/rows}}", {"rows": [[1, 2], [3]]}, "12;3;"),
    "a dotted section": ("{{#a.b.c}}here{{/a.b.c}}", {"a": {"b": {"c": True}}}, "here"),
    "a broken chain hides": ("({{#a.b.c}}here{{/a.b.c}})", {"a": {}}, "()"),
    "blanks around a section": (" | {{#on}}\t|\t{{/on}} | \n", {"on": True}, " | \t|\t | \n"),
    "standalone lines go": ("| This\n{{#on}}\n|\n{{/on}}\n| A line\n", {"on": True}, "| This\n|\n| A line\n"),
    "indented standalone lines go": ("| This\n  {{#on}}\n|\n  {{/on}}\n| A", {"on": True}, "| This\n|\n| A"),
    "standalone lines with carriage returns": ("|\r\n{{#on}}\r\n{{/on}}\r\n|", {"on": True}, "|\r\n|"),
    "inverted, false": ("{{^on}}shown{{/on}}", {"on": False}, "shown"),
    "inverted, true": ("({{^on}}shown{{/on}})", {"on": True}, "()"),
    "inverted, a map": ("({{^person}}x{{/person}})", PERSON, "()"),
    "inverted, a list": ("({{^list}}x{{/list}})", {"list": [0]}, "()"),
    "inverted, an empty list": ("{{^list}}none{{/list}}", {"list": []}, "none"),
    "inverted, missing": ("{{^on}}shown{{/on}}", {}, "shown"),
    "inverted, a broken chain": ("{{^a.b.c}}none{{/a.b.c}}", {"a": {}}, "none"),
    "inverted inside": ("| A {{^on}}B {{^on}}C{{/on}} D{{/on}} E |", {"on": False}, "| A B C D E |"),
    "a comment": ("12345{{! a remark }}67890", {}, "1234567890"),
    "a comment of lines": ("12345{{!\n  a remark\n}}67890", {}, "1234567890"),
    "a standalone comment": ("Begin.\n{{! a remark }}\nEnd.", {}, "Begin.\nEnd."),
    "an indented standalone comment": ("Begin.\n  {{! a remark }}\nEnd.", {}, "Begin.\nEnd."),
    "a comment beside text": ("  12 {{! 34 }}\n", {}, "  12 \n"),
}


@pytest.mark.parametrize(("source", "data", "text"), CASES.values(), ids=CASES.keys())
def test_mustache(source, data, text):
    assert render(source, **data) == text


def test_html_is_escaped():
    assert render("{{#a}}{{b}}{{/a}}{{b}}", html=True, a=True, b='& " < >') == "&amp; &quot; &lt; &gt;" * 2


def test_a_missing_name_is_an_error_unlike_in_mustache():
    with pytest.raises(RenderError, match="'subject' is undefined"):
        render("Hello, {{subject}}!")
    with pytest.raises(RenderError, match="'name' is undefined"):
        render("{{#list}}{{name}}{{/list}}", list=[1])
