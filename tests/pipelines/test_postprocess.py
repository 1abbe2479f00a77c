import numpy as np
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.parameters import PostprocessParameters
from sr_pipeline.imaging.resample import downsample
from sr_pipeline.pipelines.postprocess.nodes import match_folder


@pytest.fixture
def folders(tmp_path, photograph):
    """Tinted pictures and their inputs; one without an input, one that is broken."""
    pictures, inputs = tmp_path / "pictures", tmp_path / "inputs"
    (pictures / "deep").mkdir(parents=True)
    (inputs / "deep").mkdir(parents=True)
    hr = photograph[:80, :120]
    tinted = np.clip(hr.astype(int) + np.array([30, -20, 10]), 0, 255).astype(np.uint8)
    for name in ("a", "deep/b", "alone"):
        Image.fromarray(tinted).save(pictures / f"{name}.png")
    for name in ("a.jpg", "deep/b.png", "broken.png"):
        Image.fromarray(downsample(hr, 4)).save(inputs / name)
    (pictures / "broken.png").write_text("no picture")
    return pictures, inputs


def test_a_folder_is_matched_picture_by_picture(folders, photograph, caplog):
    matched = match_folder(PostprocessParameters(pictures=folders[0], inputs=folders[1]))
    assert sorted(matched) == ["a", "deep/b"]
    mended = np.asarray(matched["deep/b"]())
    assert np.abs(mended.mean((0, 1)) - photograph[:80, :120].mean((0, 1))).max() < 1
    assert "alone.png is left out: has no input" in caplog.text
    assert "broken.png is left out: broken.png: undecodable" in caplog.text


def test_strength(folders, photograph):
    without = match_folder(PostprocessParameters(pictures=folders[0], inputs=folders[1], matching={"strength": 0}))
    assert np.array_equal(np.asarray(without["a"]()), np.asarray(Image.open(folders[0] / "a.png")))


def test_of_several_files_of_one_name_the_last_is_taken(tmp_path):
    """Whatever the order in which the file system lists them."""
    pictures, inputs = tmp_path / "pictures", tmp_path / "inputs"
    pictures.mkdir()
    inputs.mkdir()
    for number in range(12):
        Image.new("RGB", (16, 16), "gray").save(pictures / f"{number}.png")
        for ending in ("bmp", "png") if number % 2 else ("png", "bmp"):
            Image.new("RGB", (4, 4), {"bmp": "black", "png": "white"}[ending]).save(inputs / f"{number}.{ending}")
    matched = match_folder(PostprocessParameters(pictures=pictures, inputs=inputs))
    assert [np.asarray(matched[str(number)]()).min() for number in range(12)] == [255] * 12


def test_folders_that_are_not_there(folders, tmp_path):
    with pytest.raises(UserError, match=r"postprocess\.pictures is not set"):
        match_folder(PostprocessParameters())
    with pytest.raises(UserError, match=r"postprocess\.inputs: there is no folder"):
        match_folder(PostprocessParameters(pictures=folders[0], inputs=tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"none of the pictures in .* has a usable input"):
        match_folder(PostprocessParameters(pictures=folders[0], inputs=tmp_path / "empty"))
