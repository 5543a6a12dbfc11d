"""The resource of a tenant's brand."""

from typing import Final

from clarion.control.brand.rules import check_brand
from clarion.domain.template import BRAND_KEY, Brand
from clarion.resources.decisions import as_given
from clarion.resources.declaration import Resource

BRAND: Final = Resource(
    Brand.KIND,
    "/v1/brand",
    Brand,
    Brand,
    as_given,
    summary="Replace the tenant's brand: its name and design in all templates",
    description="Templates read it as `brand` when they are rendered, so a change applies to all of them at once.",
    example=Brand(name="Acme", primary_color="#0b5fff"),
    prepare=check_brand,
    only=BRAND_KEY,
    default=Brand(),
)
