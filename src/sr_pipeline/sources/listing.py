"""The sources behind ``ingest.source``."""

from pathlib import Path

from sr_pipeline.sources.coco import check_split, read_coco
from sr_pipeline.sources.fetch import check_fetch, fetch_annotations, fetch_images
from sr_pipeline.sources.folder import check_folder, read_folder
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.sources.photograph import Photograph, Selection
from sr_pipeline.sources.sample import write_sample

SAMPLE_FOLDER = Path("data/01_raw/sample")


def check_source(parameters: IngestParameters) -> None:
    """Check that the chosen source is there, before anything runs.

    Raises:
        UserError: if it is not.
    """
    if parameters.source == "folder":
        check_folder(parameters.folder)
    if parameters.source == "coco":
        if parameters.coco.fetch:
            check_fetch(parameters.coco)
        else:
            check_split("train", parameters.coco.train)
            if parameters.coco.val_fraction is None:
                check_split("val", parameters.coco.val)


def list_source(parameters: IngestParameters, seed: int) -> list[Photograph]:
    """What the chosen source has, nothing opened yet; downloads what is missing if asked to.

    Raises:
        UserError: if the source is not what its parameters say.
    """
    selection = Selection(seed, parameters.max_images, parameters.min_size)
    if parameters.source == "folder":
        return read_folder(parameters.folder, selection)
    if parameters.source == "sample":
        return read_coco(write_sample(SAMPLE_FOLDER), selection)
    if parameters.coco.fetch:
        fetch_annotations(parameters.coco)
    photographs = read_coco(parameters.coco, selection)
    if parameters.coco.fetch:
        wanted = [photograph for photograph in photographs if not selection.too_small(photograph)]
        fetch_images(wanted, parameters.coco, parameters.max_bad_fraction)
    return photographs
