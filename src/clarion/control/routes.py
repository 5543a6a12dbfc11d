"""All endpoints of the control plane."""

from typing import Any, Final

from clarion.control.audit import routes as audit
from clarion.control.brand.resource import BRAND
from clarion.control.categories.resource import CATEGORIES
from clarion.control.event_rules import routes as event_rules
from clarion.control.layouts.resource import LAYOUTS, PARTIALS
from clarion.control.origins import resource as origins
from clarion.control.policy.resource import POLICY
from clarion.control.providers import routes as providers
from clarion.control.providers.verify import Verifier
from clarion.control.schedules import routes as schedules
from clarion.control.segments import routes as segments
from clarion.control.suppressions import routes as suppressions
from clarion.control.templates import routes as templates
from clarion.control.templates import routes_preview as previews
from clarion.control.tenants import routes as tenants
from clarion.control.tenants import routes_quotas as quotas
from clarion.control.topics import routes as topics
from clarion.control.users import routes as users
from clarion.control.workflows import routes as workflows
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.drafting import Drafting
from clarion.ports.expressions import Expressions
from clarion.ports.schemas import Schemas
from clarion.ports.secret_stores import Secrets
from clarion.ports.secrets import Vault
from clarion.ports.stage_store import StageStore
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Route
from clarion.resources.changing import Changing
from clarion.resources.declaration import Resource
from clarion.resources.routes import routes as resource_routes

_RESOURCES: Final[tuple[Resource[Any], ...]] = (CATEGORIES, POLICY, BRAND, LAYOUTS, PARTIALS)
"""Resources that need nothing beside what they declare."""


def routes(
    control: Control,
    vault: Vault,
    drafting: Drafting,
    schemas: Schemas,
    vendors: providers.Vendors,
    clock: Clock,
    store: StageStore,
    expressions: Expressions,
    verifier: Verifier | None = None,
    secrets: Secrets | None = None,
    *,
    telemetry: Telemetry,
) -> list[Route]:
    """Return the endpoints of every area; `vendors` maps (channel, vendor name) to its declaration;
    `verifier` verifies accounts with their vendors, `secrets` reads credentials given by reference, `telemetry` gets the
    events of the security log."""
    documents = control.documents
    changing = Changing(documents, clock, drafting)
    return [
        *tenants.routes(control),
        *quotas.routes(control.quotas, telemetry),
        *users.routes(control),
        *topics.routes(control.topics),
        *segments.routes(control, changing, clock),
        *schedules.routes(control, changing, schemas, store, clock),
        *event_rules.routes(control, changing, expressions),
        *workflows.routes(control, changing, expressions, vault, secrets, telemetry),
        *origins.routes(documents, changing, telemetry),
        *(route for resource in _RESOURCES for route in resource_routes(resource, documents, changing)),
        *templates.routes(documents, changing, schemas),
        *previews.routes(control, drafting, clock),
        *providers.routes(control.providers, vendors, verifier, secrets, telemetry),
        *audit.routes(documents),
        *suppressions.routes(control.suppressions, clock, vault),
    ]
