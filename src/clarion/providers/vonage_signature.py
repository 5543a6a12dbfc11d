"""Vonage's signatures of calls in both directions
(https://developer.vonage.com/en/getting-started/concepts/signing-messages)."""

import hashlib
import hmac
from collections.abc import Mapping


def signature(form: Mapping[str, str], secret: str, method: str) -> str:
    """Return the `sig` of a form by one of the methods that an account can select."""
    values = {name: value.replace("&", "_").replace("=", "_") for name, value in form.items() if name != "sig"}
    line = "".join(f"&{name}={values[name]}" for name in sorted(values)).encode(errors="replace")
    if method == "md5hash":
        return hashlib.md5(line + secret.encode(), usedforsecurity=False).hexdigest()
    return hmac.new(secret.encode(), line, method).hexdigest()
