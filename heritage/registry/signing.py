"""Signatures over manifests: the OpenSSF Model Signing format (a Sigstore bundle), with elliptic curve keys.

What is signed is what was said of a version: its manifest without recovered edges, as the one file `manifest.json` of a
folder called `signed`. It holds the SHA-256 of every weights file, so the signature vouches for them too. Whoever has
downloaded the folder `heritage/signed` of a run can check it without this package:

    model_signing verify key signed --signature signed/manifest.json.sig --public_key team.pub --ignore_unsigned_files
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from heritage.errors import BadInput, Misconfigured
from heritage.names import printable

SIGNED_PATH = "heritage/signed/manifest.json"
SIGNATURE_PATH = f"{SIGNED_PATH}.sig"
MAX_SIGNATURE_BYTES = 2**20
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


class Verdict(StrEnum):
    """What a signature says of a manifest."""

    VERIFIED = "verified"  # a trusted key signed these bytes
    TAMPERED = "tampered"  # a trusted key signed other bytes, or the signature was changed
    UNKNOWN_KEY = "unknown_key"  # signed by a key that is not trusted here
    UNREADABLE = "unreadable"  # no signature of this format
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdict with its reason, and the beginning of the signing key's SHA-256 ('' where none was named)."""

    verdict: Verdict
    reason: str
    key: str = ""


def sign(manifest: bytes, private_key: Path) -> bytes:
    """The signature of `manifest` by the PEM key at `private_key`.

    Raises `Misconfigured` for a file that is no unencrypted private key on one of the curves P-256, P-384, P-521.
    """
    from model_signing import signing  # 0.5 s, so not for a command that signs nothing

    key_id(private_key)
    with tempfile.TemporaryDirectory(prefix="heritage-sign-") as folder:
        target = Path(folder) / "bundle.sig"
        config: Any = signing.Config  # untyped
        config().use_elliptic_key_signer(private_key=private_key).sign(_laid_out(folder, manifest), target)
        return target.read_bytes()


def verify(manifest: bytes, signature: bytes | None, trusted: Sequence[Path]) -> Verified:
    """The verdict on `manifest`; `trusted` are PEM files with public (or private) keys. None: there is no signature."""
    if signature is None:
        return Verified(Verdict.UNSIGNED, "there is no signature")
    try:
        signer = _signer(signature)
    except BadInput as error:
        return Verified(Verdict.UNREADABLE, str(error))
    known = {key_id(path): path for path in trusted}
    if signer not in known:
        told = ", ".join(sorted(key[:12] for key in known)) or "none"
        return Verified(Verdict.UNKNOWN_KEY, f"signed by key {signer[:12]}; trusted are {told}", signer[:12])
    problem = _checked(manifest, signature, known[signer])
    if problem:
        return Verified(Verdict.TAMPERED, problem, signer[:12])
    return Verified(Verdict.VERIFIED, f"signed by key {signer[:12]}", signer[:12])


def key_id(path: Path) -> str:
    """SHA-256 (hex) of the public key in PEM, by which signatures name it; `Misconfigured` where the file is no key."""
    from cryptography.hazmat.primitives import serialization

    public = _public_key(path)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _public_key(path: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        data = path.read_bytes()
        private = b"PRIVATE KEY" in data
        key = serialization.load_pem_private_key(data, None) if private else serialization.load_pem_public_key(data)
    except OSError as error:
        raise Misconfigured(f"key {printable(str(path), 300)} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(
            f"key {printable(str(path), 300)}: is no unencrypted PEM key ({printable(str(error), 100)}); make one with "
            "openssl ecparam -name prime256v1 -genkey -noout"
        ) from error
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in _CURVES:
        raise Misconfigured(f"key {printable(str(path), 300)}: is on none of the curves {', '.join(_CURVES)}")
    return public


def _signer(signature: bytes) -> str:
    """The key that the signature names; `BadInput` where it is none."""
    try:
        bundle = json.loads(signature)
        hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"it is no signature by an elliptic curve key ({printable(str(error), 100)})") from error
    if not isinstance(hint, str):
        raise BadInput("it names no key")
    return printable(hint, 64)


def _checked(manifest: bytes, signature: bytes, public_key: Path) -> str:
    """Why the signature does not hold, '' where it does."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from model_signing import verifying

    with tempfile.TemporaryDirectory(prefix="heritage-verify-") as folder:
        target, key = Path(folder) / "bundle.sig", Path(folder) / "key.pub"
        target.write_bytes(signature)
        public = _public_key(public_key)
        key.write_bytes(
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        try:
            config: Any = verifying.Config  # untyped
            config().use_elliptic_key_verifier(public_key=key).verify(_laid_out(folder, manifest), target)
        except InvalidSignature:
            return "the signature was not made by the key that it names"
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            # what the library raises for a mismatch and for a malformed bundle
            if "Signature mismatch" in str(error):
                return "another manifest was signed than the one that is there"
            return f"it is malformed: {printable(' '.join(str(error).split()), 200)}"
    return ""


def _laid_out(folder: str, manifest: bytes) -> Path:
    """The folder that is hashed; its name and that of the file are part of what is signed."""
    model = Path(folder) / "signed"
    model.mkdir()
    (model / "manifest.json").write_bytes(manifest)
    return model
