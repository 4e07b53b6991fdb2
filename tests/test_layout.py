"""The top level holds folders named like libraries; neither Python nor the wheel may mistake one for the other."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("folder", ["mlflow", "docker", "dags", "plugins", "tests"])
def test_folders_beside_the_package_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()


WHERE = "import importlib.util; print(importlib.util.find_spec('mlflow').origin)"


@pytest.mark.parametrize("path", [None, str(ROOT), "."])
def test_mlflow_is_the_library_from_the_projects_folder(path):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"PYTHONPATH": path} if path else {}

    said = subprocess.run([sys.executable, "-c", WHERE], cwd=ROOT, env=env, capture_output=True, text=True, check=True)

    assert "site-packages" in said.stdout


def test_mlflow_is_the_library_under_pytest():
    found = importlib.util.find_spec("mlflow")

    assert found is not None
    assert "site-packages" in str(found.origin)


def test_one_module_imports_boto3():
    words = ("import boto3", "from boto3", "import botocore", "from botocore")
    found = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "heritage").rglob("*.py")
        if any(line.strip().startswith(words) for line in file.read_text().splitlines())
    }

    assert found == {"heritage/s3_calls.py"}


def test_the_wheel_holds_heritage_only_and_installs_elsewhere(tmp_path):
    # built from a copy: setuptools leaves its working files beside the sources
    for name in ("pyproject.toml", "README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"heritage"}
    assert "heritage/py.typed" in names
    assert "heritage/local/stack.py" in names
    assert {"heritage/api/static/index.html", "heritage/api/static/vendor/fonts/inter-latin.woff2"} <= set(names)
    assert not [name for name in names if "frontend" in name]

    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path / "other"),
    ]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    where = "import heritage.local.stack as module; print(module.__file__)"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "other")}
    said = subprocess.run([sys.executable, "-c", where], cwd="/", env=env, capture_output=True, text=True, check=True)
    assert said.stdout.startswith(str(tmp_path / "other"))
