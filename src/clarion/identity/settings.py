"""The section `sign_in`: identity providers."""

from typing import Annotated

import msgspec

from clarion.domain.limits_people import GROUP_ROLES_MAX, PROVIDERS_MAX
from clarion.domain.settings import Section

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Issuer = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\x00-\x20\x7f<>\"?#@]+\Z")]


class GroupRole(Section, frozen=True):
    """The role that members of a provider's group have in a tenant."""

    group: _Text
    tenant: _Text
    role: _Text


class Provider(Section, frozen=True):
    """An identity provider. Without a secret the client is a public one. `groups_claim` is where its ID tokens have groups; of `roles`
    the first that applies to a tenant counts."""

    name: _Name
    issuer: Issuer
    client_id: _Text
    client_secret: str = ""
    title: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    groups_claim: _Text = "groups"
    roles: Annotated[tuple[GroupRole, ...], msgspec.Meta(max_length=GROUP_ROLES_MAX)] = ()

    @property
    def shown(self) -> str:
        """What people read on the page."""
        return self.title or self.name

    def __repr__(self) -> str:
        return f"Provider({self.name})"


class SignIn(Section, frozen=True):
    """How people sign in, beside passwords."""

    providers: Annotated[list[Provider], msgspec.Meta(max_length=PROVIDERS_MAX)]
