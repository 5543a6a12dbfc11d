"""Why a sign-in at a provider is refused: the codes of the pages, of the audit and of the security log."""

from enum import StrEnum
from typing import Final

from clarion.domain.errors import Unauthorized


class Refusal(StrEnum):
    """The reasons."""

    PROVIDER = "provider_refused"
    UNREACHABLE = "provider_unreachable"
    METADATA = "provider_metadata_wrong"
    STATE = "state_wrong"
    ISSUER = "issuer_wrong"
    CODE = "code_refused"
    MALFORMED = "id_token_malformed"
    ALGORITHM = "id_token_algorithm"
    SIGNATURE = "id_token_signature"
    AUDIENCE = "id_token_audience"
    EXPIRED = "id_token_expired"
    NONCE = "id_token_nonce"
    CLAIMS = "id_token_claims"
    UNKNOWN = "not_invited"
    TAKEN = "address_taken"


_DETAILS: Final = {
    Refusal.PROVIDER: "the provider did not sign you in",
    Refusal.UNREACHABLE: "the provider cannot be reached now; try again",
    Refusal.METADATA: "what the provider says of itself cannot be used",
    Refusal.STATE: "this sign-in was not begun in this browser, or too long ago; begin again",
    Refusal.ISSUER: "the answer is of another provider",
    Refusal.CODE: "the provider does not accept its own answer (any more); begin again",
    Refusal.MALFORMED: "the provider's ID token cannot be read",
    Refusal.ALGORITHM: "the provider's ID token is signed in a way that is not accepted",
    Refusal.SIGNATURE: "the provider's ID token is signed with a key that is not the provider's",
    Refusal.AUDIENCE: "the provider's ID token is for another client",
    Refusal.EXPIRED: "the provider's ID token has ended: is a clock wrong?",
    Refusal.NONCE: "the provider's ID token is of another sign-in",
    Refusal.CLAIMS: "the provider's ID token does not say who you are",
    Refusal.UNKNOWN: "you are not a member of any tenant here; ask for an invitation",
    Refusal.TAKEN: "there is an account with your address; sign in with its password, and connect the provider at /account",
}


def refused(refusal: Refusal) -> Unauthorized:
    """Return the error of a refusal."""
    return Unauthorized(_DETAILS[refusal], code=refusal)
