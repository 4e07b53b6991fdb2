import errno
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from heritage.cli import app
from heritage.cli.output import reported_errors


@pytest.mark.parametrize("place", ["file/out", "absent\x1b[31m/../file/out"])
def test_a_place_that_cannot_be_written_is_one_message(tmp_path, place):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["configs", "contributors", "--table", "sample", "-o", str(tmp_path / place)])
    assert result.exit_code == 1
    assert "choose another place" in result.stderr
    assert "\x1b[31m" not in result.stderr


def test_an_error_of_no_file_is_not_hidden():
    with pytest.raises(BrokenPipeError), reported_errors():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    with pytest.raises(typer.Exit), reported_errors():
        Path("/nowhere/at/all").read_bytes()
