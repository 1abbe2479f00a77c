import threading
import time

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.serving import model_cache
from sr_pipeline.serving.model_cache import ModelCache


@pytest.fixture
def silent_registry(monkeypatch):
    """One that accepts and stays silent; counts who asks."""
    asked, answer = [], threading.Event()

    def labels():
        asked.append(1)
        answer.wait(60)
        return {"champion": "sr-generator, champion (version 1)"}

    monkeypatch.setattr(model_cache, "registered_labels", labels)
    monkeypatch.setattr(model_cache, "_FIRST_ANSWER", 0.2)
    yield asked, answer
    answer.set()


def names(models):
    return [known["name"] for known in models.listed()]


def test_a_silent_registry_holds_nothing_up(silent_registry, monkeypatch):
    asked, answer = silent_registry
    monkeypatch.setattr(model_cache, "open_model", lambda name: f"opened {name}")
    models = ModelCache("perceptual")
    assert names(models) == ["perceptual", "fidelity"]
    started = time.monotonic()
    for _ in range(50):
        assert models.open("fidelity") == "opened fidelity"
        names(models)
    assert len(asked) == 1
    assert time.monotonic() - started < 50 * 0.2, "nobody waits a second time"
    with pytest.raises(UserError, match="does not offer that model"):
        models.open("champion")
    answer.set()
    models._lookup.join()
    assert names(models) == ["perceptual", "fidelity", "champion"]


def test_the_registry_is_asked_again_later(silent_registry, monkeypatch):
    asked, answer = silent_registry
    answer.set()
    models = ModelCache("perceptual")
    assert "champion" in names(models)
    names(models)
    assert len(asked) == 1
    models._lookup.join()
    models._next_lookup = 0
    names(models)
    models._lookup.join()
    assert len(asked) == 2
