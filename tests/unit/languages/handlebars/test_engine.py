"""The renderer over structured parts, its helpers, what it reports missing and the syntax problems it finds."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from clarion.domain.limits_content import HANDLEBARS_SANDBOXES_MAX
from clarion.languages.handlebars.engine import HandlebarsRenderer
from clarion.ports.renderer import RenderError, SyntaxProblem
from tests.unit.languages.handlebars.rendering import RENDERER, context, render


def test_names_work_under_data_at_the_top_level_and_under_user():
    text = render("{{ data.x }}/{{ x }}/{{upcase user.first_name}}", x=1, user={"first_name": "Ada"})
    assert text == "1/1/ADA"


def test_structured_parts_keep_their_shape_and_their_other_leaves():
    source = {"title": "Hi {{upcase x}}", "data": {"badge": 3, "list": ["{{ x }}", None, True]}}
    assert render(source, x="you") == {"title": "Hi YOU", "data": {"badge": 3, "list": ["you", None, True]}}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{#if yes}}a{{else}}b{{/if}}{{#unless yes}}c{{else}}d{{/unless}}", "ad"),
        ("{{#if none}}a{{else if zero}}b{{else if yes}}c{{/if}}", "c"),
        ("{{#each list}}{{@index}}:{{this}}{{#unless @last}},{{/unless}}{{/each}}", "0:a,1:b"),
        ("{{#each list as |item at|}}{{at}}{{item}}{{../n}} {{/each}}", "0a2 1b2 "),
        ("{{#each map}}{{@key}}={{this}}{{#if @first}};{{/if}}{{/each}}", "k=v;l=w"),
        ("{{#each empty}}a{{else}}none{{/each}}{{#each missing}}a{{else}}none{{/each}}", "nonenone"),
        ("{{#each list}}{{#each ../list}}{{@../index}}{{@index}} {{/each}}{{/each}}", "00 01 10 11 "),
        ("{{#with map}}{{k}}{{../n}}{{@root.n}}{{/with}}{{#with missing}}a{{else}}b{{/with}}", "v22b"),
        ("{{lookup map 'l'}}{{lookup list 1}}{{lookup map (lookup names 0)}}", "wbv"),
        ("{{default missing 'x'}}{{default nothing 'y'}}{{default n 'z'}}{{default map.q.r 'd'}}", "xy2d"),
        ("{{#if (and yes n)}}a{{/if}}{{#if (or none (not yes) missing)}}b{{/if}}", "a"),
        (
            "{{#if (eq n 2)}}a{{/if}}{{#if (ne n 2)}}b{{/if}}{{#if (lt n 3)}}c{{/if}}{{#if (gt missing 3)}}d{{/if}}",
            "ac",
        ),
        ("{{size list}}{{size map}}{{size 'four'}}{{list.length}}{{list.[0]}}", "2242a"),
        ("{{upcase 'groß'}} {{downcase 'ÉÀ'}}", "GROSS éà"),
        ("{{~#if yes~}}  a  {{~/if~}}  b", "ab"),
        ("{{! note }}a{{!-- {{note}} --}}\\{{b}}", "a{{b}}"),
        ("{{{angle}}}{{&angle}}{{angle}}", "<i><i><i>"),
        ("{{n}} {{half}} {{big}} {{yes}} {{nothing}} {{list}}", "2 0.5 12345678901234567890 true  a,b"),
        ("{{odd.[a b]}}{{odd.[a b]}}", "11"),
    ],
)
def test_the_language(source, text):
    data = {"yes": True, "none": "", "zero": 0, "n": 2, "half": 0.5, "list": ["a", "b"], "names": ["k"], "empty": []}
    more = {
        "map": {"k": "v", "l": "w"},
        "nothing": None,
        "angle": "<i>",
        "big": 12345678901234567890,
        "odd": {"a b": 1},
    }
    assert render(source, **data, **more) == text


@pytest.mark.parametrize(
    ("source", "english", "german"),
    [
        ('{{money total "EUR"}}', "€1,234.50", "1.234,50\xa0€"),
        ("{{format_number total}} {{format_percent share}}", "1,234.5 25%", "1.234,5 25\xa0%"),
        ('{{format_date at "long"}}', "November 21, 2026", "21. November 2026"),
        ('{{format_date at}} {{format_date at "d.M."}}', "Nov 21, 2026 21.11.", "21.11.2026 21.11."),
        ("{{format_time at}}", "11:30\u202fPM", "23:30"),
        ('{{format_datetime at "short"}}', "11/21/26, 11:30\u202fPM", "21.11.26, 23:30"),
        ('{{format_list names}} {{format_list names "or"}}', "A, B, and C A, B, or C", "A, B und C A, B oder C"),
        (
            "{{relative_time earlier}} {{relative_time at earlier}}",
            "2 hours ago in 14 hours",
            "vor 2 Stunden in 14 Stunden",
        ),
        ("{{plural 1}} {{plural 5}} {{plural 2 'ar'}}", "one other two", "one other two"),
        ("{{#if (eq (plural count) 'one')}}a{{else}}many{{/if}}", "many", "many"),
        ("{{upcase (format_date at 'MMMM')}}", "NOVEMBER", "NOVEMBER"),
        ('{{default (money missing "EUR") "free"}}', "free", "free"),
    ],
)
def test_formatters_speak_the_readers_language(source, english, german):
    data = {"total": 1234.5, "share": 0.25, "at": "2026-11-21T22:30:00Z", "names": ["A", "B", "C"], "count": 3}
    data["earlier"] = "2026-11-21T08:00:00Z"
    assert render(source, locale="en", zone="Europe/Berlin", **data) == english
    assert render(source, locale="de", zone="Europe/Berlin", **data) == german


def test_a_condition_for_one_reader_does_not_leak_to_another():
    compiled = RENDERER.compile("{{upcase (format_time at)}} {{upcase (relative_time at)}}", html=False)
    data = {"at": "2026-11-21T08:00:00Z"}
    assert compiled(context(data, zone="UTC")) == "8:00\u202fAM 2 HOURS AGO"
    assert compiled(context(data, zone="Europe/Berlin")) == "9:00\u202fAM 2 HOURS AGO"
    later = context(data) | {"_at_ms": context(data)["_at_ms"] + 3_600_000}
    assert compiled(later) == "8:00\u202fAM 3 HOURS AGO"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("one\n{{#if x}}{{ data.order.id }}{{/if}}", r"data\.order is undefined \(line 2\)"),
        ("{{upcase y}}", r"'y' is undefined \(line 1\)"),
        ("{{#each list}}\n{{name}}{{/each}}", r"'name' is undefined \(line 2\)"),
        ("{{#each list as |item|}}{{item.name}}{{/each}}", r"item\.name is undefined"),
        ("{{#each y}}{{/each}}", "'y' is undefined"),
        ("{{#if (eq (plural y) 'one')}}{{/if}}", "'y' is undefined"),
        ("{{#each list}}{{../y}}{{/each}}", r"\.\./y is undefined"),
        ("{{#with map}}{{x}}{{/with}}", "'x' is undefined"),
        ("{{lookup map 'q'}}", "lookup: 'q' is undefined"),
        ("{{#if x}}{{map}}{{/if}}", "a map cannot be printed"),
        ("{{#if (lt x 'a')}}{{/if}}", "compared with their like"),
        ("{{#each x}}{{/each}}", "neither a list nor a map"),
        ("\n{{money map.k 'EUR'}}", r"money: .* \(line 2\)"),
        ("{{format_date 'tomorrow'}}", "format_date: 'tomorrow'"),
    ],
)
def test_missing_or_ill_typed_data_is_an_error_with_its_place(source, words):
    with pytest.raises(RenderError, match=words):
        render(source, x=1, list=[{"a": 1}], map={"k": "v"})


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("one\n{{#if x}}", 2, 10, "unexpected end"),
        ("one\n{{ x", 2, 4, "unexpected"),
        ("{{#if x}}\n{{/each}}", 1, 4, "if doesn't match each"),
        ("{{x}} {{shout x}}", 1, 7, "unknown helper 'shout'"),
        ("{{#shout x}}{{/shout}}", 1, 1, "'shout' is no block helper"),
        ("{{if x}}", 1, 1, "unknown helper 'if'"),
        ("a {{#if}}{{/if}}", 1, 3, "'if' needs a value"),
        ("{{#if (eq x)}}{{/if}}", 1, 7, "'eq' takes 2 arguments"),
        ("{{money x}}", 1, 1, "'money' takes 2 arguments"),
        ('\n {{money x "EURO"}}', 2, 2, "'EURO' is not a currency"),
        ('{{format_date x "nope"}}', 1, 1, "neither short"),
        ('{{t "greeting"}}', 1, 1, "unknown helper 't'"),
        ('{{money x currency="EUR"}}', 1, 1, "named arguments"),
        ("{{#x}}{{> item}}{{/x}}", 1, 7, "no such partial"),
        ("{{=<% %>=}}", 1, 1, "delimiters"),
        ("{{{{raw}}}}{{x}}{{{{/raw}}}}", 1, 1, "raw blocks"),
        ("{{'x'}}", 1, 3, "literal"),
        ("{{@x}}", 1, 3, "no '@x'"),
        ("a\n b\0", 2, 3, r"U\+0000"),
        ("\ufdd0", 1, 1, r"U\+FDD0"),
        ("{{a.this}}", 1, 3, "Invalid path"),
    ],
)
def test_syntax_problems_name_line_and_column(source, line, column, words):
    with pytest.raises(SyntaxProblem, match=words) as caught:
        RENDERER.compile(source, html=False)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("source", ["a\n {{{x}}}", "a\n {{&x}}", "a\n {{~{x}~}}", "a\n {{{upcase x}}}"])
def test_unescaped_output_is_refused_in_html_alone(source):
    with pytest.raises(SyntaxProblem, match="unescaped") as caught:
        RENDERER.compile(source, html=True)
    assert (caught.value.line, caught.value.column) == (2, 2)
    assert RENDERER.compile(source, html=False)({"x": "<"}).strip().endswith("<")


def test_characters_that_have_a_meaning_inside_are_replaced_in_data():
    assert render("{{#if x}}{{x}}{{/if}}", x="a\0b\ufdd0c\ufdd3d\\u0000") == "a\ufffdb\ufffdc\ufffdd\\u0000"
    assert render("{{x}}", x="a\0b") == "a\ufffdb"


def test_threads_render_side_by_side():
    compiled = RENDERER.compile('{{#each items}}{{this}}{{money ../n "EUR"}}{{/each}}', html=False)

    def run(number: int) -> bool:
        data = {"items": [f"i{number}"] * 3, "n": number}
        return all(compiled(context(data)) == f"i{number}€{number}.00" * 3 for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(8)))


def test_the_number_of_threads_with_an_engine_is_bounded():
    renderer = HandlebarsRenderer()
    compiled = renderer.compile("{{#if x}}{{x}}{{/if}}", html=False)
    together = Barrier(HANDLEBARS_SANDBOXES_MAX + 1)

    def run(_: int) -> str:
        try:
            return compiled({"x": 1})
        except RenderError as error:
            return str(error)
        finally:
            together.wait(timeout=30)  # no thread returns an engine before all have asked

    with ThreadPoolExecutor(HANDLEBARS_SANDBOXES_MAX + 1) as pool:
        said = sorted(pool.map(run, range(HANDLEBARS_SANDBOXES_MAX + 1)))
    assert said.count("1") == HANDLEBARS_SANDBOXES_MAX - 1  # one is with the thread that compiled
    assert said[-1] == f"more than {HANDLEBARS_SANDBOXES_MAX} threads render Handlebars"


def test_a_thread_that_ends_returns_its_engine():
    compiled = RENDERER.compile("{{#if x}}{{x}}{{/if}}", html=False)
    for _ in range(2 * HANDLEBARS_SANDBOXES_MAX):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(compiled, {"x": 1}).result() == "1"


def test_many_templates_evict_each_other():
    many = [RENDERER.compile("{{#if x}}" + f"{number} " * 2_000 + "{{/if}}", html=False) for number in range(300)]
    assert [compiled({"x": 1}).split()[0] for compiled in many] == [str(number) for number in range(300)]
    assert many[0]({"x": 1}).split()[0] == "0"


def test_the_engine_starts_when_it_is_needed():
    lines = (
        "import sys, clarion.app.wiring.engines as e",
        "r = e.template_engines()['handlebars'].compile('Hi {{ name }}', html=True)",
        "assert r({'name': 'A'}) == 'Hi A' and 'quickjs' not in sys.modules",
        "e.template_engines()['handlebars'].compile('{{#if x}}{{/if}}', html=True)",
        "assert 'quickjs' in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)
