"""The resource of categories."""

from typing import Final

import msgspec

from clarion.control.categories.rules import CategoryBody, CategoryView, check_category
from clarion.domain.content import CATEGORY_KIND, Category, read_category
from clarion.domain.errors import InvalidField
from clarion.domain.limits import CATEGORIES_PER_TENANT_MAX
from clarion.domain.workflow import Digest, Workflow
from clarion.ports.documents import Changes, DocumentKey, Documents
from clarion.resources.decisions import stored
from clarion.resources.declaration import Facts, Needs, Resource
from clarion.resources.reads import every, find

_WORKFLOW: Final = msgspec.json.Decoder(Workflow)


def needs(body: CategoryBody, facts: Facts) -> Needs:
    """Return the workflow that makes digests."""
    name = body.digest_workflow
    return Needs() if name is None else Needs(frozenset({DocumentKey(facts.target.tenant, Workflow.KIND, name)}))


def check(body: CategoryBody, facts: Facts, now_ms: int) -> Changes:
    """Return the category to store. Raises `InvalidField`."""
    checked, name = check_category(body), body.digest_workflow
    if name is not None:
        workflow = facts.find(Workflow.KIND, name)
        if workflow is None:
            raise InvalidField(f"no such workflow: {name[:100]}", field="digest_workflow", code="unknown_workflow")
        if not isinstance(_WORKFLOW.decode(workflow.body).steps[0], Digest):
            raise InvalidField(f"workflow {name} does not begin with a digest step", field="digest_workflow")
    return stored(facts, checked, now_ms, refers=() if name is None else ((Workflow.KIND, name),))


CATEGORIES: Final = Resource(
    CATEGORY_KIND,
    "/v1/categories/{key}",
    CategoryBody,
    CategoryView,
    check,
    needs,
    removal_summary="Remove a category that nothing names",
    description="Preferences are category by channel. Users cannot opt out of a critical category.",
    example=CategoryBody(defaults={"email": True, "sms": False}),
    plural="categories",
    most=CATEGORIES_PER_TENANT_MAX,
)


async def find_category(documents: Documents, tenant: str, key: str) -> Category | None:
    """Return a category."""
    found = await find(documents, tenant, CATEGORY_KIND, key)
    return None if found is None else read_category(key, found.body)


async def critical_categories(documents: Documents, tenant: str) -> dict[str, bool]:
    """Return the keys of all categories with whether each is critical."""
    return {
        one.key.key: read_category(one.key.key, one.body).critical
        async for page in every(documents, tenant, CATEGORY_KIND)
        for one in page
    }
