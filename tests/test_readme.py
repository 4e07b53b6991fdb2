"""What the README shows is run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.settings import settings
from heritage.weights.write import write_safetensors

ROOT = Path(__file__).parent.parent
NETS = """
from torch import nn

def mlp(width):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
"""


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)


@pytest.mark.services
def test_a_model_of_your_own_in_ten_lines(services, tmp_path, monkeypatch, capsys):
    (tmp_path / "acme_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERITAGE_ALLOWED_BUILDERS", "acme_nets")
    monkeypatch.setenv("HERITAGE_WORK_DIR", str(tmp_path / "work"))
    settings.cache_clear()
    import acme_nets

    write_safetensors(tmp_path / "churn.safetensors", acme_nets.mlp(32).state_dict())
    rng = np.random.default_rng(0)
    given = {
        "x_held_out": rng.normal(size=(500, 4)).astype(np.float32),
        "y_held_out": rng.integers(0, 2, 500),
        "x_seen": rng.normal(3, 1, size=(300, 4)).astype(np.float32),
    }
    code = block("python")
    assert len([line for line in code.splitlines() if line and not line.startswith(("from", "import"))]) <= 10
    exec(compile(code, "README.md", "exec"), given)  # the README is ours
    assert capsys.readouterr().out.strip() == "drift"

    np.savez(tmp_path / "held_out.npz", x=given["x_held_out"], y=given["y_held_out"])
    command = re.search(r"^heritage (register churn .*)$", (ROOT / "README.md").read_text(), re.MULTILINE).group(1)
    planned = CliRunner().invoke(app, [*shlex.split(command), "--dry-run"])
    assert planned.exit_code == 0, planned.output


def test_the_settings_shown_are_settings(tmp_path):
    file = tmp_path / "heritage.toml"
    file.write_text(block("toml"))
    command = [sys.executable, "-m", "heritage.cli", "config", "show", "--json"]
    environment = {"HERITAGE_CONFIG": str(file), "PATH": "/usr/bin"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert '"approvers": [\n' in shown.stdout


def test_every_command_of_the_table_exists():
    text = (ROOT / "README.md").read_text()
    wanted = set(re.findall(r"heritage ([a-z]+)\b", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
    help_text = subprocess.run(
        [sys.executable, "-m", "heritage.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = set(re.findall(r"^  ([a-z]+) ", help_text, re.MULTILINE))
    assert wanted - {"itself", "is"} <= commands
