"""Runaway templates stop quickly, in bounded memory, and only ever with an error of this one notification."""

from time import thread_time

import pytest

from clarion.backends.liquid.engine import LiquidRenderer
from clarion.ports.renderer import RenderError, SyntaxProblem

RENDERER = LiquidRenderer()
BIG = "x" * 200_000
NUMBERS = list(range(60_000))

ATTACKS = {
    "a long range": "{% for i in (1..1000000000) %}x{% endfor %}",
    "a long range, materialised": "{% for i in (1..1000000000) reversed %}x{% endfor %}",
    "nested loops": "{% for i in (1..3000) %}{% for j in (1..3000) %}x{% endfor %}{% endfor %}",
    "loops in a row": "{% for i in (1..9000) %}{% endfor %}" * 3_000,
    "doubling by assign": "{% assign a='x' %}" + "{% assign a = a | append: a %}" * 40,
    "doubling by capture": "{% capture a %}x{% endcapture %}" + "{% capture a %}{{a}}{{a}}{% endcapture %}" * 40,
    "replace in assigns": "{% assign a='xxxxxxxxxx' %}" + "{% assign a = a | replace: 'x', 'xxxxxxxxxx' %}" * 8,
    "replace in a chain": "{{ 'xxxxxxxxxx' " + "| replace: 'x', 'xxxxxxxxxx' " * 8 + "}}",
    "replace of nothing": "{{ data.big | replace: '', data.big }}",
    "nine megabytes of output": "{% for i in (1..50) %}{{ data.big }}{% endfor %}",
    "doubling a list of long texts": "{% assign a = data.big | split: '~' %}"
    + "{% assign a = a | concat: a %}" * 25
    + "{{ a }}",
    "concat in a chain": "{{ data.numbers " + "| concat: data.numbers " * 2_000 + "| size }}",
    "join with a long separator": "{{ data.numbers | join: data.big }}",
    "squaring": "{% assign a = 99999999 %}" + "{% assign a = a | times: a %}" * 40,
    "a date format that pads": "{{ 0 | date: '%1000000000d' }}",
    "uniq of many": "{{ data.numbers | uniq | size }}",
    "a chain that grows slowly": "{{ '%' " + "| url_encode " * 50_000 + "}}",
    "a long chain over a long text": "{{ data.big " + "| upcase " * 50_000 + "}}",
    "many statements in a loop": "{% for i in (1..10000) %}" + "{% assign z = i %}" * 500 + "{% endfor %}",
    "dear comparisons": "{% for i in (1..10000) %}{% if data.numbers == data.copy %}{% endif %}{% endfor %}",
    "a range to join": "{{ (1..30000000) | join }}",
    "a range kept": "{% assign a = (1..30000000) %}{{ a | join }}",
    "braces that never close": "{{" * 200_000,
    "blocks that never close": "{% raw %}" * 50_000,
    "blanks": "{% a" + " " * 300_000 + "%}",
    "deep nesting": "{% if true %}" * 500 + "{% endif %}" * 500,
    "a deep path": "{{ a" + "[a" * 20_000 + "]" * 20_000 + " }}",
    "dunder names": "{{ data.big.__class__.__mro__ }}",
    "dunder names through a filter": "{{ data | map: '__class__' | first | upcase | append: missing }}",
    "division by zero": "{{ 5 | divided_by: 0 }}",
    "a break outside of a loop": "{% break %}",
}


@pytest.mark.slow
@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("source", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_stopped(source, html):
    data = {"big": BIG, "numbers": NUMBERS, "copy": [number + 0.0 for number in NUMBERS]}
    started = thread_time()
    with pytest.raises((RenderError, SyntaxProblem)):
        RENDERER.compile(source, html=html)({**data, "data": data, "user": {}})
    assert thread_time() - started < 4


def test_a_template_that_failed_renders_well_the_next_time():
    render = RENDERER.compile("{% for i in data.list %}{{ i }}{% endfor %}", html=False)
    with pytest.raises(RenderError):
        render({"data": {"list": NUMBERS}})
    assert render({"data": {"list": [1, 2]}}) == "12"
