"""The types of settings. A section stands with the part that it configures, and `app/config` puts them together."""

from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
OptionalUrl = Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\x00-\x20\x7f<>\"?#@]+)?$")]
"""A base URL without credentials, query and fragment, or nothing."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of the settings: immutable, and no setting is unknown."""
