"""Keys and certificates that are slow to generate: one of each per process."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clarion_lab.simulate.certificates import Identity, identity


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@cache
def rsa_pem() -> str:
    return rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def identity_in(folder: Path, host: str) -> Identity:
    """Return a simulator's identity in a folder; it is the same in every folder."""
    shutil.copytree(_identity(host).name, folder, dirs_exist_ok=True)
    return identity(folder, host)


@cache
def _identity(host: str) -> TemporaryDirectory[str]:
    made = TemporaryDirectory(prefix="identity-", ignore_cleanup_errors=True)
    identity(Path(made.name), host)
    return made
