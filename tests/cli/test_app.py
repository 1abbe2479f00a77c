import pytest
from click.testing import CliRunner

from sr_pipeline.cli.app import app
from sr_pipeline.inference.models import DEFAULT
from sr_pipeline.serving import server


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (DEFAULT, 7860, True)),
        (["--model", "champion", "--port", "0", "--no-open"], ("champion", 0, False)),
    ],
)
def test_what_is_served(arguments, expected, monkeypatch):
    """Without options the page opens in the browser, which no other test may do."""
    served = []
    monkeypatch.setattr(server, "serve", lambda model, port, open_browser: served.append((model, port, open_browser)))
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert served == [expected]
    assert CliRunner().invoke(app, [*arguments, "--port", "65536"]).exit_code == 2
