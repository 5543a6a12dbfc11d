"""The faster nodes and python-liquid's own give the same text and the same errors."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from liquid.exceptions import LiquidError, LiquidInterrupt

from clarion.languages.liquid.bounded import BoundedEnvironment
from clarion.languages.liquid.fast_nodes import speed_up
from clarion.languages.liquid.parsing import parse
from tests.security.liquid_grammar import EVIL, SOURCES, context

ENVIRONMENTS = {html: BoundedEnvironment(autoescape=html) for html in (False, True)}
DATA = context(EVIL) | {
    "maps": {"a": {"size": 3, "first": 1}, "b": [], "": {"x": None}},
    "flags": [True, False, None, 1.50, 10**30, "", " "],
    "map": {"k": "v"},
}
NAMES = "maps map flags rows x n a b k size first last".split()  # noqa: SIM905
PATHS = st.builds(
    lambda name, more: ".".join([name, *more]).replace(".[", "["),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from([*NAMES, "[0]", "[-1]", "[9]", "['a']", "[x]"]), max_size=3),
)
LOOKS = PATHS.flatmap(
    lambda path: st.sampled_from(
        [
            f"{{{{ {path} }}}}",
            f"{{{{ {path} | default: n, allow_false: true }}}}",
            f"{{% if {path} %}}yes{{% elsif {path} == n %}}no{{% else %}}none{{% endif %}}",
            f"{{% for it in {path} %}}{{{{ forloop.index }}}}{{{{ it.k }}}},{{% break %}}{{% else %}}none{{% endfor %}}",
            f"{{% for it in {path} limit: 2 %}}{{{{ it }}}}{{{{ forloop.last }}}}{{% endfor %}}",
            f"{{% assign n = {path} %}}{{{{ n.a.size }}}}{{% increment n %}}{{{{ n }}}}",
            f"{{{{ {path} | append: {path} | upcase | size }}}}",
        ]
    )
)


def outcome(template):
    try:
        return template.render(DATA)
    except LiquidError as error:
        return str(error.message)
    except (LiquidInterrupt, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("html", [False, True])
@given(SOURCES | st.lists(LOOKS, min_size=1, max_size=4).map("".join))
@example("{{ missing.deeply | upcase }}")
@example("{{ n | round: 'x' }}{{ n | slice: 1.5 }}")
@example("{% if n %} {% assign a = 1 %} {% endif %}{{ a }}")
def test_the_same_text_and_the_same_errors(html, source):
    swift, stock = (parse("{% assign over = '' %}" + source, ENVIRONMENTS[html]) for _ in range(2))
    speed_up(swift)
    assert outcome(swift) == outcome(stock)
