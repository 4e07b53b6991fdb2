import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.cli.webhook import check_url
from heritage.errors import BadInput, Unavailable
from heritage.flows.webhook_secret import made_secret, secret_of
from heritage.settings import ApiSettings, Settings


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "http://user:secret@host/x", "http://", "http://[::1", "javascript:1"]
)
def test_an_address_that_is_no_receiver_is_refused_before_anything_is_sent(url):
    with pytest.raises(BadInput, match="no address"):
        check_url(url)
    assert CliRunner().invoke(app, ["webhook", "register", url]).exit_code == 1


def test_the_secret_is_made_once_and_is_the_owners_only(tmp_path):
    settings = Settings(work_dir=tmp_path / "work")
    with pytest.raises(Unavailable, match="heritage webhook register"):
        secret_of(settings)
    first = made_secret(settings)
    assert len(first) >= 32
    assert made_secret(settings) == secret_of(settings) == first
    assert (tmp_path / "work" / "webhook.secret").stat().st_mode & 0o777 == 0o600
    told = Settings(work_dir=tmp_path, api=ApiSettings(webhook_secret="told"))
    assert made_secret(told) == "told"
    assert not (tmp_path / "webhook.secret").exists()


def test_the_api_is_not_served_to_other_machines_without_a_token():
    done = CliRunner().invoke(app, ["api", "--host", "0.0.0.0"])
    assert done.exit_code == 1
    assert "HERITAGE_API__TOKEN" in done.output
