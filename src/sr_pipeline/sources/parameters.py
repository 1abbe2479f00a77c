"""Parameters of where photographs come from, and of which are fit for training."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from sr_pipeline.networks.parameters import Parameters
from sr_pipeline.pictures.photographs import MAX_PIXELS
from sr_pipeline.storage import LocalLocation, Location


class CocoSplit(Parameters):
    """One split of a COCO data set; relative paths start at the project folder, addresses go through fsspec."""

    images: Location = Field(description="folder of the image files")
    annotations: Location = Field(description="JSON file that lists them")


class ArchiveParameters(Parameters):
    """A file to download, and what it is known by."""

    url: str = Field(pattern="^https?://")
    size: int | None = Field(None, ge=1, description="bytes")
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")


class DownloadParameters(Parameters):
    """Where a COCO data set is fetched from, and how patiently."""

    folder: LocalLocation = Field(Path("data/01_raw/downloads"), description="keeps the archives")
    annotations: ArchiveParameters
    train: ArchiveParameters
    val: ArchiveParameters
    parallel: int = Field(8, ge=1, description="downloads at once")
    attempts: int = Field(6, ge=1, description="in a row without a byte gained; then a download has failed")
    first_wait: float = Field(1.0, ge=0, description="seconds before the second attempt; doubled for each further")
    timeout: float = Field(30.0, gt=0, description="seconds without an answer or a byte that end an attempt")


class CocoParameters(Parameters):
    """A COCO data set: what to train on, what to hold out, and which of its images to take."""

    train: CocoSplit
    val: CocoSplit
    val_fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the images of train that is held out, chosen by a hash of the name; val is not read then",
    )
    fetch: Literal["archives", "images"] | None = Field(
        None, description="download what is missing: the image archives, or chosen images one by one"
    )
    downloads: DownloadParameters | None = None
    categories: list[str] | None = Field(None, min_length=1, description="only images with an object of one of these")
    licences: list[int | str] | None = Field(
        None, min_length=1, description="only images with these licences alone, by their ids or names in the file"
    )


class FolderParameters(Parameters):
    """A plain folder of photographs."""

    path: Location | None = Field(None, description="all pictures in it and below")
    val_fraction: float = Field(0.1, gt=0, lt=1, description="share that is held out, chosen by a hash of the name")


class IngestParameters(Parameters):
    """Where photographs come from and which are fit for training."""

    source: Literal["sample", "coco", "folder"]
    coco: CocoParameters
    folder: FolderParameters = FolderParameters()
    max_images: int | None = Field(
        None, ge=1, description="of each split, chosen by seed; a larger number takes the same and more; none: all"
    )
    min_size: int = Field(96, ge=1, description="shortest edge in pixels; smaller pictures are set aside")
    max_pixels: int = Field(
        MAX_PIXELS, ge=1, le=178_000_000, description="larger pictures count as decompression bombs; Pillow's limit"
    )
    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="share of bad files that stops the run; a single one never does"
    )
    near_duplicate_bits: int | None = Field(
        40,
        ge=0,
        le=80,
        description="bits of 256 in which perceptual hashes of a training and a held-out photograph may differ for the "
        "former to be set aside; none: only exact copies are",
    )
    workers: int | None = Field(None, ge=1, description="threads that decode; none: one per core")
    scheduler: str | None = Field(
        None, description="address of a running Dask scheduler, tcp://host:port, whose workers decode; none: threads do"
    )
