"""Headers that every response has, after the OWASP Secure Headers Project."""

from typing import Final

SAFE: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Pages (/docs, unsubscribing) have an inline style, a form at most, and no script or image.
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    # Concerns embedding alone, not reading by CORS.
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response: it is for the caller alone, and a browser must not treat it as another media type."""

OF_PAGES: Final = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""Further headers of HTML, which no other response has a use for."""
