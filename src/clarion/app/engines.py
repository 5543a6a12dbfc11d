"""The template languages of this installation."""

from clarion.backends.handlebars.engine import HandlebarsRenderer
from clarion.backends.liquid.engine import LiquidRenderer
from clarion.ports.renderer import Engines


def template_engines() -> Engines:
    """Return the template engines by the name that templates use."""
    return {"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()}
