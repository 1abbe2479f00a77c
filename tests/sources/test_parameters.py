import pytest
from pydantic import ValidationError

from sr_pipeline.sources.parameters import IngestParameters

FILE = {"url": "https://example.org/a.zip"}
COCO = {"train": {"images": "a", "annotations": "a.json"}, "val": {"images": "b", "annotations": "b.json"}}
DOWNLOADS = {"annotations": FILE, "train": FILE, "val": FILE}


def parameters(path, value):
    """Parameters of COCO with all parts, of which the one at ``path`` has another value."""
    raw = {"source": "coco", "coco": COCO | {"downloads": DOWNLOADS}, "folder": {"path": "photographs"}}
    *parts, last = path.split(".")
    place = raw
    for part in parts:
        place[part] = place = dict(place[part])
    place[last] = value
    return IngestParameters.model_validate(raw)


@pytest.mark.parametrize(
    ("path", "least"),
    [
        ("max_images", 1),
        ("min_size", 1),
        ("max_pixels", 1),
        ("workers", 1),
        ("coco.downloads.parallel", 1),
        ("coco.downloads.attempts", 1),
        ("coco.downloads.train.size", 1),
        ("coco.downloads.timeout", 0.1),
        ("folder.val_fraction", 0.1),
    ],
)
def test_of_nothing_nothing_can_be_made(path, least):
    parameters(path, least)
    with pytest.raises(ValidationError, match="greater than"):
        parameters(path, 0)


@pytest.mark.parametrize("path", ["coco.categories", "coco.licences"])
def test_an_empty_choice_is_refused(path):
    """It would take no photograph; none at all takes every one."""
    parameters(path, None)
    with pytest.raises(ValidationError, match="at least 1 item"):
        parameters(path, [])


@pytest.mark.parametrize(
    ("path", "value"), [("folder.val_fraction", 1), ("max_bad_fraction", 1.01), ("max_pixels", 178_000_001)]
)
def test_what_is_too_much(path, value):
    with pytest.raises(ValidationError, match="less than"):
        parameters(path, value)
