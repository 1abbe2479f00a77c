"""Typed sizes of the networks, importable without TensorFlow.

Defaults are those of recipe ``seed``: Ledig et al. 2017, "Photo-Realistic Single Image
Super-Resolution Using a Generative Adversarial Network", CVPR, section 2.1 and figure 4,
with the changes each field names.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sr_pipeline.errors import UserError

Padding = Literal["reflect", "zero"]
Output = Literal["tanh", "linear"]
SCALE = 4
"""Enlargement factor of every network here (Ledig et al., figure 4)."""


class Parameters(BaseModel):
    """Base of all parameter classes: immutable, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RefinementParameters(Parameters):
    """A branch of the generator at the full size, which adds to the picture that ``upsampling`` 'direct' makes.

    That picture is linear in the features, by other weights at each of the 4x4 pixels made of one; convolutions at
    the full size are the same for all of them. They do not prevent a pattern that repeats every four pixels, but with
    ``smooth_area_weight`` smooth areas stay clean in longer trainings: docs/release-recipe.md has what was measured.
    """

    filters: int = Field(16, ge=1, description="channels at the full size, beside those of the picture")
    layers: int = Field(3, ge=1, description="3x3 convolutions at the full size, of which the last makes RGB")


class GeneratorParameters(Parameters):
    """Size and variant of the generator (SRResNet) of Ledig et al. 2017, figure 4."""

    filters: int = Field(64, ge=1, description="channels of every hidden convolution (figure 4: n64)")
    blocks: int = Field(16, ge=1, description="residual blocks B (section 3.2: 16)")
    batch_normalization: bool = Field(True, description="BN after the convolutions of the residual trunk")
    padding: Padding = Field("reflect", description="the paper pads with zeros")
    upsampling: Literal["nearest", "subpixel", "direct"] = Field(
        "nearest",
        description="nearest x2 before a convolution; the paper: sub-pixel shuffle after one; 'direct': all hidden "
        "convolutions at the size of the input, and one shuffle by 4 after the last (Shi et al. 2016, equation 4)",
    )
    equal_phases: bool = Field(
        False,
        description="of 'direct': training keeps the gains of all 16 positions equal, so that areas of one colour have "
        "no grid (Sugawara et al. 2018, arXiv:1806.02658, section 3)",
    )
    refinement: RefinementParameters | None = Field(
        None, description="of 'direct': a small branch at the full size; it starts from zero, as if it were not there"
    )
    output: Output = Field("tanh", description="activation of the enlarged picture")
    initialization: Literal["glorot", "interpolating"] = Field(
        "glorot",
        description="'interpolating' starts from a smooth enlargement of the input: see networks.generator",
    )

    @model_validator(mode="after")
    def _check_upsampling(self) -> Self:
        if self.equal_phases and self.upsampling != "direct":
            raise ValueError("equal_phases is of upsampling 'direct'; the others have no such phases")
        if self.refinement and self.upsampling != "direct":
            raise ValueError("refinement goes with upsampling 'direct'; the others work at full size already")
        return self


class DiscriminatorParameters(Parameters):
    """Size and variant of the discriminator of Ledig et al. 2017, figure 4."""

    filters: int = Field(64, ge=1, description="channels of the first convolution; the last has 8 times as many")
    dense: int = Field(256, ge=1, description="units of the dense layer; the paper has 1024")
    batch_normalization: bool = Field(True, description="BN after all convolutions but the first")
    padding: Padding = Field("reflect", description="the paper pads with zeros")


VGG19_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
"""Convolutions and channels of each block of VGG19 (configuration E of Simonyan & Zisserman 2015, table 1)."""

FeatureLayer = Literal["block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"]
"""The last convolution before each pooling of VGG19, by Keras' name."""
FEATURE_LAYERS: tuple[FeatureLayer, ...] = get_args(FeatureLayer)
LAST_LAYER: FeatureLayer = "block5_conv4"
LAST_PACKAGED_LAYER: FeatureLayer = "block2_conv2"
"""Up to which layer this package brings the weights of VGG19: those of Ledig et al.'s SRGAN-VGG22 (section 2.2.1)."""
VGG19_CONVOLUTIONS = ("block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2")
"""The convolutions up to there."""

WEIGHTS_CHOICES = (
    "set perceptual.weights to 'packaged' (up to block2_conv2), 'imagenet' (a download), the path of a VGG19 "
    ".weights.h5 file, or 'untrained'"
)


class PerceptualParameters(Parameters):
    """The VGG19 feature network of the perceptual loss (Ledig et al. 2017, section 2.2.1)."""

    weights: str = Field(
        "packaged",
        min_length=1,
        description="'packaged' (ImageNet's, up to block2_conv2), 'imagenet' (downloaded by Keras, hash checked), a "
        "path to a Keras .weights.h5 file of VGG19 without top, or 'untrained' (random, seeded: no substitute for "
        "ImageNet features)",
    )
    layer: FeatureLayer | None = Field(
        None, description="compare this layer alone, whatever adversarial.features of the recipe says; none: as it says"
    )

    def check(self, layers: Iterable[FeatureLayer]) -> None:
        """Check that the weights file, if one is named, can be one, or that the packaged weights reach all ``layers``.

        Raises:
            UserError: if not; the message names all choices.
        """
        if self.weights == "packaged":
            beyond = [layer for layer in layers if depth_of(layer) > depth_of(LAST_PACKAGED_LAYER)]
            if beyond:
                raise UserError(
                    f"VGG19's {beyond[0]} is wanted, and the weights in this package end at {LAST_PACKAGED_LAYER}: "
                    f"{WEIGHTS_CHOICES}; or compare another layer with perceptual.layer={LAST_PACKAGED_LAYER}"
                )
        elif self.weights not in ("imagenet", "untrained"):
            self._check_file(Path(self.weights))

    def _check_file(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"the VGG19 weights file {self.weights} is missing; {WEIGHTS_CHOICES}")
        from sr_pipeline.networks.weights_check import vgg19_fault

        if fault := vgg19_fault(file):
            raise UserError(f"{file} does not hold the weights of VGG19 without top ({fault}); {WEIGHTS_CHOICES}")


def depth_of(layer: FeatureLayer) -> int:
    """Which of VGG19's five blocks ``layer`` ends, from 0."""
    return FEATURE_LAYERS.index(layer)


class LpipsParameters(Parameters):
    """The perceptual distance LPIPS (Zhang et al. 2018)."""

    weights: str | None = Field(
        "packaged", min_length=1, description="'packaged', the path of an .npz file of LPIPS-Alex, or none: left out"
    )

    def check_file(self) -> None:
        """Check that the weights file, if one is named, exists and can be one of LPIPS-Alex.

        Raises:
            UserError: if it does not.
        """
        if self.weights in (None, "packaged"):
            return
        file, choices = Path(str(self.weights)), "set lpips.weights to 'packaged', to an .npz file of LPIPS-Alex, or"
        if not file.is_file():
            raise UserError(f"the LPIPS weights file {file} is missing; {choices} to null to leave LPIPS out")
        from sr_pipeline.networks.weights_check import lpips_fault

        if fault := lpips_fault(file):
            raise UserError(
                f"{file} does not hold the weights of LPIPS-Alex ({fault}); {choices} to null to leave LPIPS out"
            )
