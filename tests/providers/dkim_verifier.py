"""A DKIM verifier of our own (RFC 6376 6.1, RFC 8463), for tests: plain loops that share nothing with what signs.

`verify` takes the TXT record as an argument and makes no DNS query. It is checked with RFC 8463's own example.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key


def record(key):
    """Return the TXT record that belongs to a private key."""
    public = key.public_key()
    if isinstance(public, Ed25519PublicKey):
        raw, kind = public.public_bytes(Encoding.Raw, PublicFormat.Raw), "ed25519"
    else:
        raw, kind = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "rsa"
    return f"v=DKIM1; k={kind}; p={base64.b64encode(raw).decode()}"


def tags(text):
    """Return the tags of a signature or record, without whitespace."""
    pairs = (item.partition("=") for item in "".join(text.split()).split(";") if item)
    return {name: value for name, _, value in pairs}


def fields(message):
    """Return the header fields as (name, unchanged value), and the body."""
    lines = message.decode("latin-1").split("\r\n")
    end = lines.index("")
    found = []
    for line in lines[:end]:
        if line[0] in " \t":
            found[-1] += "\r\n" + line
        else:
            found.append(line)
    return [tuple(field.split(":", 1)) for field in found], lines[end + 1 :]


def squeezed(text):
    """Return text with each run of whitespace as one space, and none at the end."""
    out = ""
    for char in text:
        if char not in " \t":
            out += char
        elif not out.endswith(" "):
            out += " "
    return out[:-1] if out.endswith(" ") else out


def relaxed(name, value):
    return f"{name.strip().lower()}:{squeezed(value.replace(chr(13) + chr(10), '')).lstrip(' ')}"


def body_hash(lines):
    kept = [squeezed(line) for line in lines]
    while kept and not kept[-1]:
        kept.pop()
    return base64.b64encode(hashlib.sha256("".join(f"{line}\r\n" for line in kept).encode("latin-1")).digest()).decode()


def verify(message, record_text, at=0):
    """Return the tags of the `at`th signature of a message if it is good, else raise `AssertionError`."""
    header, body = fields(message)
    own = [i for i, (name, _) in enumerate(header) if name.lower() == "dkim-signature"][at]
    said, key = tags(header[own][1]), tags(record_text)
    assert said["v"] == "1"
    assert said["c"] == "relaxed/relaxed"
    assert said["a"] == f"{key['k']}-sha256"
    assert said["bh"] == body_hash(body), "body"
    left, covered = [field for i, field in enumerate(header) if i != own], ""
    for wanted in said["h"].lower().split(":"):
        for i in range(len(left) - 1, -1, -1):
            if left[i][0].strip().lower() == wanted:
                covered += relaxed(*left.pop(i)) + "\r\n"
                break
    start = header[own][1].rindex("b=") + 2
    covered += relaxed(header[own][0], header[own][1][:start])
    data, signature, raw = covered.encode("latin-1"), base64.b64decode(said["b"]), base64.b64decode(key["p"])
    try:
        if key["k"] == "ed25519":
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, hashlib.sha256(data).digest())
        else:
            public = load_der_public_key(raw)
            assert isinstance(public, RSAPublicKey)
            public.verify(signature, data, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        raise AssertionError("signature") from None
    return said
