"""Templates of the catalogue with data that selects other texts than their sample does."""

from copy import deepcopy
from typing import Any

import pytest

from clarion.content.compiled import render_job
from clarion.domain.channel import Channel
from clarion.domain.sms import measure
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ports.drafting import RenderJob
from tests.catalogue.shelf import AT_MS, CHANNELS, ENGINES, LOCALES, built, reading

SCHEMAS = JsonSchemas()
GONE = object()
COMMENT = {"author": "Mei", "text": "Yes.", "at": "2026-03-10T07:12:00Z"}
ITEM = {"name": "Aurora", "quantity": 1, "price": 64.9}

# Template, values at paths of its sample data, and the text in the HTML of the e-mail in English, Spanish and German.
CASES: list[tuple[str, dict[str, Any], tuple[str, str, str]]] = [
    ("comment-digest", {"comments": [COMMENT]}, ("A new comment", "Un comentario nuevo", "Ein neuer Kommentar")),
    ("comment-digest", {"comments": [COMMENT] * 6}, ("and 1 more", "y 1 comentario más", "und 1 weiterer Kommentar")),
    ("comment-digest", {"comments": [COMMENT] * 9}, ("and 4 more", "y 4 comentarios más", "und 4 weitere Kommentare")),
    ("weekly-summary", {"change": -0.1}, ("10% less", "un 10\xa0% menos", "10\xa0% weniger")),
    ("weekly-summary", {"change": 0, "tasks.completed": 1}, ("as much as", "Lo mismo que", "so viel wie")),
    ("weekly-summary", {"projects": GONE}, ("18% more", "un 18\xa0% más", "18\xa0% mehr")),
    ("weekly-summary", {"projects.0.completed": 1}, ("1 task<", "1 tarea<", "1 Aufgabe<")),
    ("appointment-reminder", {"appointment.minutes": 1}, ("1 minute<", "1 minuto<", "1 Minute<")),
    (
        "ride-finished-rider",
        {"ride.minutes": 1, "ride.driver_photo_url": GONE},
        ("1 minute<", "1 minuto<", "1 Minute<"),
    ),
    ("ride-finished-driver", {"today.rides": 1}, ("Your first ride", "Tu primer viaje", "Deine erste Fahrt")),
    ("price-drop", {"ends_at": GONE, "product.image_url": GONE}, ("You save", "Ahorras", "Du sparst")),
    ("cart-reminder", {"cart.items": [ITEM], "cart.held_until": GONE}, ("Aurora, ", "Aurora, ", "Aurora, ")),
    (
        "incident-opened",
        {"incident.severity": "critical"},
        ("Critical inc", "Incidencia muy grave", "Kritische Störung"),
    ),
    ("incident-opened", {"incident.severity": "minor"}, ("Minor incident", "Incidencia leve", "Leichte Störung")),
    ("incident-opened", {"incident.severity": "unknown"}, (">Incident<", ">Incidencia<", ">Störung<")),
    (
        "incident-opened",
        {"incident.acknowledge_url": GONE, "incident.summary": GONE},
        ("Major incident", "Incidencia grave", "Schwere Störung"),
    ),
    (
        "incident-resolved",
        {"incident.minutes": 1, "incident.cause": GONE},
        ("1 minute.", "1 minuto.", "1 Minute läuft"),
    ),
    (
        "approval-wanted",
        {"request.due_on": GONE, "request.reason": GONE, "request.requester_photo_url": GONE},
        ("Approve", "Aprobar", "Freigeben"),
    ),
    ("usage-limit", {"usage.used": 120_000}, ("reached your limit", "llegado a tu límite", "Limit erreicht")),
    ("usage-limit", {"usage.resource": "seats"}, (">Seats<", ">Plazas<", ">Plätze<")),
    ("usage-limit", {"usage.resource": "storage"}, ("Storage in GB", "Espacio en GB", "Speicher in GB")),
    ("usage-limit", {"usage.resource": "messages"}, (">Messages<", ">Mensajes<", ">Nachrichten<")),
    ("usage-limit", {"usage.resource": "robots"}, (">Your plan<", ">Tu plan<", ">Dein Tarif<")),
    ("trial-ending", {"trial.days_left": 1}, ("One day left", "Queda un día", "Noch ein Tag")),
    ("survey", {"survey.minutes": 1}, ("one minute", "un minuto", "eine Minute")),
    ("survey", {}, ("?score=5", "?score=5", "?score=5")),
    ("event-invitation", {"event.reply_by": GONE, "event.description": GONE}, ("be there", "Allí estaré", "bin dabei")),
    ("maintenance-window", {"maintenance.reason": GONE}, ("API and Dash", "API y Dash", "API und Dash")),
    *(
        ("consent-change", {"consent.state": state, "consent.purpose": purpose}, said)
        for state, purpose, said in (
            ("granted", "marketing", ("Offers and news", "Ofertas y novedades", "Angebote und Neuigkeiten")),
            ("granted", "analytics", ("Usage statistics", "Datos de uso", "Nutzungsstatistik")),
            ("withdrawn", "personalization", ("recommendations", "Recomendaciones", "Empfehlungen")),
            ("withdrawn", "sharing", ("Sharing with partners", "Datos compartidos", "Weitergabe an Partner")),
            ("changed", "telepathy", ("Use of your data", "Uso de tus datos", "Nutzung deiner Daten")),
        )
    ),
]


def altered(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the data with other values at some paths; `GONE` removes the path."""
    data = deepcopy(data)
    for path, value in changes.items():
        *way, name = (int(step) if step.isdigit() else step for step in path.split("."))
        place: Any = data
        for step in way:
            place = place[step]
        if value is GONE:
            del place[name]
        else:
            place[name] = value
    return data


@pytest.mark.parametrize(("key", "changes", "said"), CASES)
def test_it_says_what_the_data_makes_it_say(key: str, changes: dict[str, Any], said: tuple[str, str, str]):
    folder = reading().folder
    source = folder.templates[key]
    assert folder.brand is not None
    data = altered(source.sample.data, changes)
    assert source.variables is not None
    assert SCHEMAS.check(source.variables, data) is None
    for locale, text in zip(LOCALES, said, strict=True):
        user = {**source.sample.user, "locale": locale}
        job = RenderJob(built(key), CHANNELS, data, user, locale, "Europe/Madrid", AT_MS, folder.brand)
        done = render_job(job, ENGINES)
        assert not done.errors
        assert text in done.parts[Channel.EMAIL]["html"]
        assert measure(done.parts[Channel.SMS]["body"]).segments == 1, done.parts[Channel.SMS]["body"]
