"""The naming policy: what is written is safe everywhere, what is read from outside is shown harmlessly."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.errors import UnsafeName
from heritage.names import (
    MAX_NAME,
    check_digest,
    check_file_name,
    check_name,
    check_source,
    check_tensor_name,
    check_version,
    hub_id,
    printable,
    split_version,
)

HOSTILE_NAMES = [
    "",
    " ",
    "<img src=x onerror=alert(1)>",
    "a'b",
    'a"b',
    "a`b",
    "%2e%2e%2f",
    "..",
    "a..b",
    "../a",
    "a/b",
    "a\\b",
    "a:b",
    "a b",
    "a\n",
    "\na",
    "a\r\nb",
    "a\0b",
    "a\tb",
    "a\u202egnp",
    "a\u200bb",
    "\uff41\uff42\uff43",  # fullwidth letters
    "\u0430bc",  # Cyrillic a
    "café",
    "model-\U0001f600",
    "a\ud800",
    "x" * (MAX_NAME + 1),
    "x" * 500,
    ".hidden",
    "-option",
    "_private",
    "name.",
    "a?b",
    "a*b",
    "a|b",
    "a;b",
    "$(id)",
    "{a}",
    "a,b",
    "=1+1",
    "@alias",
]
RESERVED = ["con", "CON", "Con.txt", "nul", "aux", "prn", "com1", "LPT9", "latest", "None", "null", "true", "False"]


@pytest.mark.parametrize("name", HOSTILE_NAMES + RESERVED)
def test_names_that_are_unsafe_somewhere_are_refused_in_one_printable_line(name: str) -> None:
    with pytest.raises(UnsafeName) as caught:
        check_name(name)
    text = str(caught.value)
    assert text.startswith("model name")
    assert text.isprintable()
    assert len(text) < 1500
    assert re.search(r"give|limit is|use|choose", text), "the remedy"


@pytest.mark.parametrize("name", ["a", "A", "0", "digits-champion", "2026-11-22T07", "v1.2_rc3", "x" * MAX_NAME, "a_"])
def test_plain_names_pass(name: str) -> None:
    assert check_name(name) == name


@given(st.text())
def test_what_passes_is_a_safe_key_file_name_and_path_segment(name: str) -> None:
    try:
        check_name(name, "alias")
    except UnsafeName as error:
        assert str(error).startswith("alias")  # noqa: PT017 - both outcomes are right
    else:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name)
        assert ".." not in name
        assert not name.endswith(".")


@given(st.text(max_size=400))
def test_printable_text_is_one_line_without_hidden_characters(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown, 2000) == shown
    if text.isascii() and text.isprintable() and len(text) <= 120:
        assert shown == text


def test_printable_shows_what_was_hidden_and_cuts() -> None:
    assert printable("a\n\x1b[2J\u202e\u200b\ud800\xa0b") == r"a\n\x1b[2J\u202e\u200b\ud800\xa0b"
    assert printable("x" * 500, 3) == "xxx... (500 characters)"
    assert printable("café 模型") == "café 模型"


def test_digests_and_versions() -> None:
    assert check_digest("0f" * 32) == "0f" * 32
    for digest in ("", "0F" * 32, "0f" * 31, "0f" * 32 + "\n", "g0" * 32, "\uff10" * 64):
        with pytest.raises(UnsafeName, match="is not a SHA-256"):
            check_digest(digest)
    assert check_version("12") == "12"
    for version in ("", "0", "01", "-1", "1.0", "1e3", "1\n", "\u0661", "latest", "9" * 11):
        with pytest.raises(UnsafeName, match="is not a whole number from 1"):
            check_version(version)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("digits", ("digits", "")),
        ("digits/3", ("digits", "3")),
        ("digits@champion", ("digits", "@champion")),
        ("models:/digits/3", ("digits", "3")),
        ("models:/digits@champion", ("digits", "@champion")),
    ],
)
def test_addresses_of_versions(address: str, parts: tuple[str, str]) -> None:
    assert split_version(address) == parts


@pytest.mark.parametrize(
    "address",
    ["", "digits/", "digits/latest", "digits/0", "digits/1/../../", "models:/x/1/../../", "/3", "@champion", "digits@",
     "digits@a@b", "digits@a/b", "models://host/digits/3", "runs:/a/b", "digits/3?x", "digits /3"],
)  # fmt: skip
def test_addresses_that_name_no_version(address: str) -> None:
    with pytest.raises(UnsafeName):
        split_version(address)


FOREIGN = [
    "file:///etc/passwd",
    "file:/etc/passwd",
    "/etc/passwd",
    "etc/passwd",
    "",
    "http://169.254.169.254/latest/meta-data",
    "https://example.org/x",
    "s3://evil/b",
    "gs://evil/b",
    "dbfs:/x",
    "runs",
    "runs:",
    "runs:a/b",
    "RUNS:/a/b",
    " runs:/a/b",
    "ru\nns:/a/b",
    "mlflow-artifacts://169.254.169.254:80/x",
    "mlflow-artifacts://[::1/x",
    "runs://host/x",
    "models:///x",
    "javascript:alert(1)",
    "runs:/" + "a" * 3000,
]
CLIMBING = [
    "runs:/a/../b",
    "runs:/..",
    "models:/x/1/../../",
    "mlflow-artifacts:/a/%2e%2e/b",
    "mlflow-artifacts:/a/%252e%252e/b",
    "mlflow-artifacts:/a/%25252e%25252e%25252fb",
    "mlflow-artifacts:/a/%2525252e%2525252e/b",
    "runs:/a/%25252525252525252525252e/b",
    "runs:/a\\..\\b",
    "runs:/a%5c..%5cb",
    "runs:/a#/../b",
    "runs:/a?/../b",
    "runs:/a;/../b",
    "runs:/a/b\n",
    "runs:/a/%0ab",
    "runs:/a/%00",
    "runs:/a/\u202eb",
    "runs:/a/\x7f",
]


@pytest.mark.parametrize("uri", FOREIGN)
def test_sources_elsewhere_are_refused(uri: str) -> None:
    with pytest.raises(UnsafeName, match="is not read"):
        check_source(uri)


@pytest.mark.parametrize("uri", CLIMBING)
def test_sources_that_climb_are_refused(uri: str) -> None:
    with pytest.raises(UnsafeName, match="climbs out") as caught:
        check_source(uri)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "uri",
    [
        "runs:/0a1b/weights",
        "models:/digits/3",
        "models:/m-0123",
        "mlflow-artifacts:/1/0a/artifacts",
        "runs:/a/b%20c..d",
    ],
)
def test_sources_of_our_own_server_pass(uri: str) -> None:
    assert check_source(uri) == uri


def test_deeply_encoded_sources_take_no_time() -> None:
    start = time.perf_counter()
    with pytest.raises(UnsafeName):
        check_source("runs:/%" + "25" * 1_000_000 + "2e")
    with pytest.raises(UnsafeName):
        check_source("runs:/%" + "25" * 1000 + "2e")
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("name", ["a.b.c", "transformer.h.0.attn.c_attn.weight", "a/b", "<b>", "gewicht größe", "a..b"])
def test_tensor_names_that_pass(name: str) -> None:
    assert check_tensor_name(name, "m.safetensors") == name


@pytest.mark.parametrize(
    "name", ["", "x" * 513, "a\nb", "a\x7f", "a\u202eb", "a\xa0b", "a\ud800", "a\0", "/a", "../a", "a/..", "a\\b"]
)
def test_tensor_names_that_are_refused(name: str) -> None:
    with pytest.raises(UnsafeName, match=r"^m.safetensors: tensor name .*rename") as caught:
        check_tensor_name(name, "m.safetensors")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\\b", "a b", "a\n", "-rf", "a..b", "x" * 256, "a\0b", "é"]
)
def test_file_names_that_are_refused(name: str) -> None:
    with pytest.raises(UnsafeName, match=r"^index: .* is not a plain file name"):
        check_file_name(name, "index")


def test_file_names_that_pass() -> None:
    for name in ("model-00001-of-00002.safetensors", "_a", "x" * 255):
        assert check_file_name(name, "index") == name


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Org/Name", "Org/Name"),
        ("gpt2", "gpt2"),
        (" Org/Name \n", "Org/Name"),
        ("https://huggingface.co/Org/Name", "Org/Name"),
        ("https://huggingface.co/Org/Name/", "Org/Name"),
        ("https://huggingface.co/Org/Name/tree/main", "Org/Name"),
        ("https://huggingface.co/Org/Name?x=1#readme", "Org/Name"),
        ("http://hf.co/Org/Name@v2", "Org/Name"),
        ("https://huggingface.co/models/Org/Name", "Org/Name"),
        ("huggingface.co/Org/Name", "Org/Name"),
        ("HuggingFace.co/Org/Name/blob/main/README.md", "Org/Name"),
        ("Org/Name@abc", "Org/Name"),
        ("https://huggingface.co/gpt2", "gpt2"),
    ],
)
def test_hub_addresses_become_ids(text: str, canonical: str) -> None:
    assert hub_id(text) == canonical
    assert hub_id(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    ["", " ", "a/b/c", "Org/..", "../x", "https://", "https://huggingface.co/", "http://[", "<b>/x", "a b", "Org/Näme",
     "https://huggingface.co/datasets/Org/Name", "x" * 300, "-a/b", "None of these", "Org/Na\u200bme", "Org/Na\nme"],
)  # fmt: skip
def test_what_is_no_hub_id_is_refused(text: str) -> None:
    with pytest.raises(UnsafeName, match="is not a hub model id"):
        hub_id(text)


@pytest.mark.parametrize(
    "check",
    [check_name, check_digest, check_version, split_version, check_source, hub_id,
     lambda t: check_tensor_name(t, "f"), lambda t: check_file_name(t, "f")],
)  # fmt: skip
@given(text=st.text() | st.from_regex(r"(runs|models|https?)://?[\[\]%@:/.a-f0-9]{0,30}"))
def test_no_text_raises_anything_else(check: Callable[[str], object], text: str) -> None:
    try:
        check(text)
    except UnsafeName as error:
        assert str(error).isprintable()  # noqa: PT017
