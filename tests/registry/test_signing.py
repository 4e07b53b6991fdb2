"""Signatures over manifests: a verdict for each way in which one can be right or wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from heritage.errors import Misconfigured
from heritage.lineage.codec import decode
from heritage.lineage.statement import statement
from heritage.registry.signing import Verdict, key_id, sign, verify

GOLDEN = Path(__file__).parent / "golden"
MANIFEST = b'{"schema":"heritage/manifest/1"}'


def private_key(path: Path, curve: ec.EllipticCurve) -> Path:
    key = ec.generate_private_key(curve)
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(pem)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: private_key(folder / f"{name}.pem", ec.SECP256R1()) for name in ("team", "other", "old")}


@pytest.fixture(scope="module")
def signature(keys: dict[str, Path]) -> bytes:
    return sign(MANIFEST, keys["team"])


def public(key: Path) -> Path:
    return key.with_suffix(".pub")


def test_a_signature_by_a_trusted_key_is_verified(keys: dict[str, Path], signature: bytes) -> None:
    found = verify(MANIFEST, signature, [public(keys["team"])])

    assert found.verdict is Verdict.VERIFIED
    assert found.key == key_id(keys["team"])[:12] == key_id(public(keys["team"]))[:12]


def test_a_rotated_key_goes_on_to_be_trusted_beside_the_new_one(keys: dict[str, Path]) -> None:
    earlier = sign(MANIFEST, keys["old"])

    assert verify(MANIFEST, earlier, [public(keys["team"]), public(keys["old"])]).verdict is Verdict.VERIFIED


def test_an_unknown_key_a_tampered_manifest_and_no_signature_differ(keys: dict[str, Path], signature: bytes) -> None:
    trusted = [public(keys["team"])]

    assert verify(MANIFEST, signature, [public(keys["other"])]).verdict is Verdict.UNKNOWN_KEY
    assert verify(MANIFEST, signature, []).verdict is Verdict.UNKNOWN_KEY
    tampered = verify(MANIFEST + b" ", signature, trusted)
    assert tampered.verdict is Verdict.TAMPERED
    assert tampered.reason == "another manifest was signed than the one that is there"
    assert verify(MANIFEST, None, trusted).verdict is Verdict.UNSIGNED


def edited(signature: bytes, change: Any) -> bytes:
    bundle = json.loads(signature)
    change(bundle)
    return json.dumps(bundle).encode()


def test_a_key_that_somebody_else_claims_is_found_out(keys: dict[str, Path], signature: bytes) -> None:
    forged = edited(sign(MANIFEST, keys["other"]), lambda b: b.update(
        verificationMaterial=json.loads(signature)["verificationMaterial"]))  # fmt: skip

    found = verify(MANIFEST, forged, [public(keys["team"])])

    assert found.verdict is Verdict.TAMPERED
    assert "not made by the key that it names" in found.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b["dsseEnvelope"].update(signatures=[]),
        lambda b: b.pop("dsseEnvelope"),
        lambda b: b["dsseEnvelope"].update(payload="e30="),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b.update(mediaType=None),
    ],
)
def test_a_malformed_bundle_is_tampered_and_never_an_exception(
    keys: dict[str, Path], signature: bytes, change: Any
) -> None:
    found = verify(MANIFEST, edited(signature, change), [public(keys["team"])])

    assert found.verdict is Verdict.TAMPERED
    assert found.reason.isprintable()


@pytest.mark.parametrize("bad", [b"", b"\xff\xfe", b"[]", b'{"verificationMaterial":{"publicKey":{"hint":7}}}',
                                 b"[" * 100_000])  # fmt: skip
def test_what_is_no_signature_is_unreadable(keys: dict[str, Path], bad: bytes) -> None:
    assert verify(MANIFEST, bad, [public(keys["team"])]).verdict is Verdict.UNREADABLE


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        sign(MANIFEST, tmp_path / "absent.pem")
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(Misconfigured, match="no unencrypted PEM key"):
        sign(MANIFEST, tmp_path / "text.pem")
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "rsa.pem").write_bytes(key)
    with pytest.raises(Misconfigured, match="none of the curves"):
        sign(MANIFEST, tmp_path / "rsa.pem")
    with pytest.raises(Misconfigured, match="none of the curves"):
        sign(MANIFEST, private_key(tmp_path / "koblitz.pem", ec.SECP256K1()))


@pytest.mark.parametrize("release", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_signatures_of_every_release_are_verified_by_this_one(release: Path) -> None:
    manifest, signature = ((release / name).read_bytes() for name in ("manifest.json", "manifest.json.sig"))

    assert verify(manifest, signature, [release / "team.pub"]).verdict is Verdict.VERIFIED
    assert statement(decode(manifest, "golden manifest")) == manifest


def test_the_command_of_model_signing_accepts_it(keys: dict[str, Path], signature: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "signed"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(MANIFEST)
    (folder / "manifest.json.sig").write_bytes(signature)
    (folder / "notes.txt").write_bytes(b"not signed")
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder), "--signature",
               str(folder / "manifest.json.sig"), "--public_key", str(public(keys["team"])),
               "--ignore_unsigned_files"]  # fmt: skip

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
