"""The cost of rendering: each channel of the whole starter catalogue, and two yardsticks in each template language.

The yardsticks are a push of two plain variables, and an e-mail of 3 kB with eight variables, a loop over five lines, a
condition, dates and money. CPU time of one thread; the best of several rounds, because the machine is rarely alone.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from clarion.app.cli.template_files.definitions import partials_of
from clarion.app.cli.template_files.disk import shipped
from clarion.app.wiring.engines import template_engines
from clarion.content.build import build
from clarion.content.compiled import compile_channel
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.locales import spoken
from clarion.domain.template import Brand, Source
from clarion.ports.drafting import BuildJob
from clarion.ports.renderer import Engines

BUDGETS_US: Final = {"push": 5.0, "email": 200.0}
"""Budgets: CPU microseconds of a render of the yardsticks, in each language. The budget of e-mails also holds for the
mean of the catalogue's e-mails; its pushes have up to six parts, with dates, money and plurals, and no budget."""
CATALOGUE_BUDGETS_US: Final = {"email": BUDGETS_US["email"]}
ROUNDS: Final = 5
ROUND_S: Final = 0.03
_AT_MS: Final = 1_790_000_000_000
_ZONE: Final = "Europe/Berlin"
_LINE: Final = {"name": "Espresso cups <blue>", "quantity": 2, "price": 12.5}
_DATA: Final[dict[str, Any]] = {
    "number": "A-1042",
    "customer": "Ada & Co",
    "city": "Berlin",
    "placed_at": "2026-11-20T09:30:00Z",
    "ships_at": "2026-11-23T08:00:00Z",
    "total": 62.5,
    "gift": True,
    "lines": [_LINE] * 5,
}
_SHELL: Final = '<tr><td style="padding:8px 12px;font:14px/1.5 Helvetica,Arial,sans-serif;color:#1f2937">{}</td></tr>'
_FILLER: Final = "".join(
    _SHELL.format(f"Plain words, line {n}, that every e-mail has around its data.") for n in range(12)
)
_YARDSTICKS: Final = {
    "liquid": {
        "push": {"title": "Order {{ number }}", "body": "It is on its way to {{ city }}."},
        "email": {
            "subject": "Order {{ number }}",
            "html": f"<table>{_FILLER}"
            + _SHELL.format("Hello {{ customer }}, order {{ number }} of {{ placed_at | format_date: 'long' }}")
            + "{% for line in lines %}<tr><td>{{ line.quantity }} x {{ line.name }}</td>"
            "<td>{{ line.price | money: 'EUR' }}</td></tr>{% endfor %}"
            + _SHELL.format(
                "{% if gift %}A gift for {{ city }}{% endif %}, on {{ ships_at | format_datetime: 'medium' }}"
            )
            + _SHELL.format("{{ total | money: 'EUR' }}")
            + "</table>",
        },
    },
    "handlebars": {
        "push": {"title": "Order {{number}}", "body": "It is on its way to {{city}}."},
        "email": {
            "subject": "Order {{number}}",
            "html": f"<table>{_FILLER}"
            + _SHELL.format("Hello {{customer}}, order {{number}} of {{format_date placed_at 'long'}}")
            + "{{#each lines}}<tr><td>{{quantity}} x {{name}}</td><td>{{money price 'EUR'}}</td></tr>{{/each}}"
            + _SHELL.format("{{#if gift}}A gift for {{city}}{{/if}}, on {{format_datetime ships_at 'medium'}}")
            + _SHELL.format("{{money total 'EUR'}}")
            + "</table>",
        },
    },
}


class Cost(NamedTuple):
    """CPU microseconds a render: the mean over the rendered templates, and the most expensive one with its name."""

    what: str
    channel: str
    renders: int
    mean_us: float
    worst_us: float
    worst: str
    budget_us: float | None

    @property
    def is_met(self) -> bool:
        """Return whether the budget, if there is one, is met."""
        return self.budget_us is None or self.mean_us <= self.budget_us


class RenderFigures(NamedTuple):
    """The costs of all measurements."""

    costs: list[Cost]

    @property
    def passed(self) -> bool:
        """Return whether every budget is met."""
        return all(cost.is_met for cost in self.costs)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON line."""
        costs = [cost._asdict() | {"met": cost.is_met} for cost in self.costs]
        return {"case": "render", "costs": costs, "passed": self.passed}


def measure() -> RenderFigures:
    """Measure the yardsticks of every language and the whole catalogue, each template in all its locales."""
    engines = template_engines()
    costs = yardsticks(engines)
    renders: dict[Channel, list[tuple[str, Callable[[], object]]]] = {}
    for name, template, source in _catalogue(engines):
        for channel in template.parts:
            if channel in template.derived:
                continue
            for locale in (template.locale, *template.locales):
                data, user = source.sample.data, source.sample.user
                render = _render(template, channel, locale, data, user, engines)
                renders.setdefault(channel, []).append((f"{name} ({locale})", render))
    costs += [_cost("catalogue", channel.value, found, CATALOGUE_BUDGETS_US) for channel, found in renders.items()]
    return RenderFigures(costs)


def yardsticks(engines: Engines | None = None) -> list[Cost]:
    """Measure the yardsticks of every language alone."""
    used = engines or template_engines()
    return [
        _cost(engine, channel, [(channel, _yardstick(engine, Channel(channel), parts, used))], BUDGETS_US)
        for engine, channels in _YARDSTICKS.items()
        for channel, parts in channels.items()
    ]


def _catalogue(engines: Engines) -> Iterable[tuple[str, Template, Source]]:
    folder = shipped().folder
    for key, source in folder.templates.items():
        layout = folder.layouts[source.layout] if source.layout else None
        job = BuildJob(key, source, layout, partials_of(folder, source, layout))
        yield key, build(job, engines), source


def _yardstick(engine: str, channel: Channel, parts: dict[str, Any], engines: Engines) -> Callable[[], object]:
    template = Template("yardstick", 1, None, {channel: parts}, engine=engine)
    return _render(template, channel, "en", _DATA, {}, engines)


def _render(
    template: Template, channel: Channel, locale: str, data: dict[str, Any], user: dict[str, Any], engines: Engines
) -> Callable[[], object]:
    compiled = compile_channel(template, locale, channel, Brand(name="Acme"), engines)
    written = spoken(locale, locale)
    return lambda: compiled.render(data, user, written, _ZONE, _AT_MS)


def _cost(
    what: str, channel: str, renders: list[tuple[str, Callable[[], object]]], budgets_us: Mapping[str, float]
) -> Cost:
    timed = [(_best_us(render), name) for name, render in renders]
    worst_us, worst = max(timed)
    mean_us = sum(us for us, _ in timed) / len(timed)
    return Cost(what, channel, len(timed), round(mean_us, 2), round(worst_us, 2), worst, budgets_us.get(channel))


def _best_us(render: Callable[[], object]) -> float:
    """Return the CPU microseconds of one call, in the best of the rounds."""
    render()
    began_s = time.thread_time()
    render()
    count = max(1, int(ROUND_S / max(time.thread_time() - began_s, 1e-6)))
    best_s = float("inf")
    for _ in range(ROUNDS):
        began_s = time.thread_time()
        for _ in range(count):
            render()
        best_s = min(best_s, time.thread_time() - began_s)
    return best_s * 1e6 / count
