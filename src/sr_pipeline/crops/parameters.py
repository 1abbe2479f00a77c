"""Parameters of how crops are cut and stored."""

from pydantic import Field

from sr_pipeline.networks.parameters import SCALE, Parameters


class MaterializeParameters(Parameters):
    """How crops are cut and stored."""

    crop_size: int = Field(96, ge=2 * SCALE, multiple_of=SCALE, description="edge of an HR crop (Ledig et al.: 96)")
    crops_per_image: int = Field(ge=1)
    min_contrast: float = Field(
        0, ge=0, lt=127.5, description="standard deviation of luma in gray levels; flatter crops are left out"
    )
    shards: int = Field(1, ge=1, description="files that the crops of a split are spread over")
    workers: int | None = Field(
        None, ge=1, description="processes; 1 works without a cluster; none: as many as pay off"
    )
    scheduler: str | None = Field(None, description="address of a running Dask scheduler, tcp://host:port")
