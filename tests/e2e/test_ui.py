"""Runs of three recipes, compared in the real MLflow UI by a real browser."""

import json
import re

import mlflow
import pytest
import yaml

from tests.conftest import PATIENCE, TINY
from tests.servers import free_port, running

RECIPES = ("sample", "ledig2017", "wgan_gp")


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    """A copy of the finished project, with a run of each further recipe."""
    tiny = TINY["recipes"]["sample"]
    recipes = {
        "ledig2017": tiny | {"batch_size": 4},
        "wgan_gp": {name: tiny[name] for name in ("generator", "discriminator", "adversarial")} | {"batch_size": 4},
    }
    made = finished.copy(tmp_path_factory.mktemp("three") / "project")
    made.path("conf/local/parameters.yml").write_text(yaml.safe_dump(TINY | {"recipes": recipes}))
    for recipe in RECIPES[1:]:
        made.kedro("run", "--pipelines=train,evaluate,register", f"--params=recipe={recipe}")
    return made


@pytest.fixture(scope="module")
def client(project):
    return mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")


@pytest.fixture(scope="module")
def runs(client):
    found = client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id])
    return {run.info.run_name.split()[0]: run for run in found if "val/srgan/psnr_y" in run.data.metrics}


@pytest.fixture(scope="module")
def ui(project):
    """Address of the UI."""
    port = free_port()
    command = ["ui", "--backend-store-uri", f"sqlite:///{project.folder}/mlflow.db", "--workers", "1"]
    address = f"http://127.0.0.1:{port}"
    with running(
        project.command("mlflow", *command, "--port", str(port)),
        f"{address}/health",
        project.path("ui.log"),
        cwd=project.folder,
        env=project.environment(),
    ):
        yield address


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1600, "height": 2400})
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    page.close()


def test_only_the_better_generator_is_champion(client, runs):
    versions = {client.get_run(v.run_id).data.tags["recipe"]: v for v in client.search_model_versions("")}
    scores = {recipe: runs[recipe].data.metrics["val/srgan/psnr_y"] for recipe in RECIPES}
    champion = "sample"
    for recipe in RECIPES[1:]:
        if scores[recipe] > scores[champion]:
            champion = recipe
            assert versions[recipe].tags["alias_reason"].startswith("champion: val/srgan/psnr_y ")
        else:
            assert versions[recipe].tags["alias_reason"].startswith("challenger: val/srgan/psnr_y ")
    assert client.get_model_version_by_alias("sr-generator", "champion").version == versions[champion].version


def cells(page):
    """Rows of all tables on the page by their first cell."""
    rows = (row.split("\t") for row in re.split(r"\n(?=\S+\t)", page.inner_text("body")))
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in rows}


def test_runs_of_three_recipes_side_by_side(page, ui, runs):
    ids = json.dumps([runs[recipe].info.run_id for recipe in RECIPES])
    page.goto(f'{ui}/#/compare-runs?runs={ids}&experiments=["1"]')
    page.get_by_text("wgan_gp train evaluate register", exact=True).first.wait_for()
    shown = cells(page)
    assert shown["recipe"][:3] == list(RECIPES)
    assert shown["recipe.adversarial.objective"][:3] == ["logistic", "logistic", "wasserstein"]
    assert shown["perceptual_weights"][:3] == ["untrained"] * 3
    page.locator(".ReactVirtualized__Grid").last.hover()
    label = page.locator(".ReactVirtualized__Grid a").get_by_text("val/srgan/psnr_y", exact=True)
    while not label.count():  # just the rows in view are in the page
        page.mouse.wheel(0, 200)
        page.wait_for_timeout(300)
    line = label.evaluate("label => label.closest('[style*=top]').style.top")
    cells_of_it = page.locator(".ReactVirtualized__Grid").last.locator(f"div[style*='top: {line};']")
    found = [float(value) for value in cells_of_it.all_inner_texts()]
    assert found == pytest.approx([runs[recipe].data.metrics["val/srgan/psnr_y"] for recipe in RECIPES], rel=1e-3)


def test_pictures_of_one_name_side_by_side(page, ui, runs):
    ids = json.dumps([runs[recipe].info.run_id for recipe in RECIPES])
    page.goto(f'{ui}/#/compare-runs?runs={ids}&experiments=["1"]')
    page.get_by_text("val_comparison.png", exact=True).last.evaluate("entry => entry.click()")  # others lie over it
    page.locator("img[alt='val_comparison.png']").nth(2).wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('img[alt=\"val_comparison.png\"]')].every(i => i.naturalWidth > 900)"
    )


def test_curves_and_pictures_of_training(page, ui):
    page.goto(f"{ui}/#/experiments/1/runs?compareRunsMode=CHART")
    search = page.get_by_placeholder("Search metric charts")
    for text, title in (("generator_loss", "train/generator_loss"), ("srgan/psnr_y", "val/srgan/psnr_y")):
        search.fill(text)
        page.get_by_text(title, exact=True).first.wait_for()
    search.fill("validation")
    page.get_by_text("train/validation_psnr_y", exact=True).first.wait_for()
    page.get_by_text("validation", exact=True).first.wait_for()  # the series of pictures
