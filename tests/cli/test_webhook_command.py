import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.cli.webhook import check_url, secret_for
from heritage.errors import BadInput
from heritage.flows.context import Context
from heritage.settings import ApiSettings, Settings


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "http://user:secret@host/x", "http://", "http://[::1", "javascript:1"]
)
def test_an_address_that_is_no_receiver_is_refused_before_anything_is_sent(url):
    with pytest.raises(BadInput, match="no address"):
        check_url(url)
    assert CliRunner().invoke(app, ["webhook", "register", url]).exit_code == 1


def test_the_secret_is_made_once_and_is_the_owners_only(tmp_path):
    ctx = Context(None, None, Settings(work_dir=tmp_path / "work"))
    first = secret_for(ctx)
    assert len(first) >= 32
    assert secret_for(ctx) == first
    assert (tmp_path / "work" / "webhook.secret").stat().st_mode & 0o777 == 0o600
    told = Settings(work_dir=tmp_path, api=ApiSettings(webhook_secret="told"))
    assert secret_for(Context(None, None, told)) == "told"
