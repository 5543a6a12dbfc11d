"""The names of the data that a template needs, those it reads at all, and whether it uses the user."""

import pytest

from tests.unit.languages.handlebars.rendering import RENDERER, render


@pytest.mark.parametrize(
    ("source", "needed", "also_read"),
    [
        ("{{ data.a }} {{ b.c }} {{ a.d }}", {"a", "b.c", "a.d"}, set()),
        (
            "{{#each order.lines}}{{name}}{{this.qty}}{{../z}}{{@root.q}}{{@index}}{{/each}}",
            {"order.lines", "order.lines[].name", "order.lines[].qty", "z", "q"},
            set(),
        ),
        (
            "{{#each xs as |x i|}}{{x.a}}{{i}}{{#each x.ys}}{{b}}{{x.c}}{{/each}}{{/each}}",
            {"xs", "xs[].a", "xs[].ys", "xs[].ys[].b", "xs[].c"},
            set(),
        ),
        ("{{#each xs}}{{.}}{{/each}}", {"xs", "xs[]"}, set()),
        ("{{#with a}}{{b}}{{../c}}{{/with}}", {"a", "a.b", "c"}, set()),
        ("{{#with a}}{{b}}{{else}}{{c}}{{/with}}", {"c"}, {"a", "a.b"}),
        ("{{#each a}}{{b}}{{else}}none{{/each}}", set(), {"a", "a[].b"}),
        ("{{#if a.b}}{{a.b}}{{a.b.c}}{{a.bc}}{{/if}}", {"a.bc"}, {"a.b", "a.b.c"}),
        ("{{#if (or (eq a 1) b)}}{{a}}{{b}}{{c}}{{/if}}", {"c"}, {"a", "b"}),
        ("{{#unless a}}{{b}}{{/unless}}{{default d e}}", {"b"}, {"a", "d", "e"}),
        ("{{#items}}{{name}}{{/items}}{{^none}}x{{/none}}", set(), {"items", "name", "none"}),
        ("{{#if (eq (plural n) 'one')}}{{n}}{{/if}}", {"n"}, set()),
        ("{{lines.length}}{{lines.0.a}}{{lookup map key}}", {"lines", "lines[].a", "map", "key"}, set()),
        ("{{brand.name}}{{_locale}}{{user.first_name}}{{this.x}}", {"x"}, set()),
        ({"t": "{{a}}", "d": ["{{b}}", 5, {"k": "{{c}}"}]}, {"a", "b", "c"}, set()),
        ("{{! a }}{{!-- {{b}} --}}\\{{c}}", set(), set()),
    ],
)
def test_paths(source, needed, also_read):
    usage = RENDERER.usage(source)
    assert set(usage.needed_paths) == needed
    assert set(usage.read_paths) == needed | also_read
    assert set(usage.variables) == {path.partition(".")[0].removesuffix("[]") for path in needed}


@pytest.mark.parametrize(
    ("source", "uses_user"),
    [
        ("{{user.first_name}}", True),
        ("{{#with user}}{{first_name}}{{/with}}", True),
        ("{{#x}}{{user.zone}}{{/x}}", True),
        ("{{format_date at}}", True),
        ("{{#if (eq (format_time at) 'x')}}{{/if}}", True),
        ("{{lookup this 'user'}}", True),
        ('{{money x "EUR"}}{{data.user}}', False),
    ],
)
def test_the_user_is_read_only_where_needed(source, uses_user):
    assert RENDERER.usage(source).uses_user is uses_user


def test_all_paths_that_are_read_are_passed():
    assert render("{{#each this}}{{#if (eq @key 'x')}}{{this}}{{/if}}{{/each}}", x=1) == "1"
    assert render("{{#with @root}}{{x}}{{/with}}{{#each data}}{{@key}}{{/each}}", x=1) == "1x"
    assert render("{{#each xs}}{{lookup .. this}}{{/each}}", xs=["a", "b"], a=1, b=2) == "12"
    assert render("{{#xs}}{{.}}{{k}}{{/xs}}", xs=["a", "b"], k=0) == "a0b0"
