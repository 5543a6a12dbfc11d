"""The template languages of this installation."""

from clarion.languages.handlebars.engine import HandlebarsRenderer
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.renderer import Engines


def template_engines() -> Engines:
    """Return the template engines by the name that templates use."""
    return {"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()}
