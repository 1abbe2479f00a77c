"""Recipes: everything that decides what is trained, as typed and validated parameters.

The defaults are recipe ``seed``. ``conf/base/parameters_recipes.yml`` names the recipes and states only
what each changes. This module does not import TensorFlow.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import (
    LAST_LAYER,
    DiscriminatorParameters,
    FeatureLayer,
    GeneratorParameters,
    Parameters,
)
from sr_pipeline.packaged import PACKAGED, generator_file


class LearningRate(Parameters):
    """Learning rate over the steps of one phase, for Adam (Kingma & Ba 2015)."""

    initial: float = Field(1e-4, gt=0, description="Ledig et al. 2017, section 3.2")
    decay: Literal["constant", "cosine", "step"] = Field(
        "constant",
        description="'cosine' falls to zero (Loshchilov & Hutter 2017, equation 5, no restart); "
        "'step' divides by 10 half-way (Ledig et al. 2017, section 3.2: 1e-4, then 1e-5)",
    )
    warmup_steps: int = Field(0, ge=0, description="linear rise from zero")


class AdamParameters(Parameters):
    """Decay rates of Adam's moments (Kingma & Ba 2015, algorithm 1)."""

    beta_1: float = Field(0.9, ge=0, lt=1, description="Ledig et al. 2017, section 3.2; Gulrajani et al. 2017: 0")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Kingma & Ba's; Gulrajani et al. 2017, algorithm 1: 0.9")


class PretrainingParameters(Parameters):
    """Phase 1: the generator alone on mean squared error, which makes it an SRResNet (Ledig et al., section 3.2)."""

    steps: int = Field(1_000_000, ge=1)
    learning_rate: LearningRate = LearningRate()
    start: Path | None = Field(
        None,
        description="a generator to fine-tune: the name of one of this package, or a .keras file; none: from nothing",
    )
    generator: Path | None = Field(
        None,
        description="a generator, named likewise, to take instead of making these steps, whatever 'start' says: a "
        "training goes on as after them. Layers that the file lacks must change nothing at first, such as a refinement",
    )

    @property
    def given(self) -> Path | None:
        """The file of weights that training begins with, if one is named."""
        named = self.generator or self.start
        return generator_file(named) if named else None

    def check_file(self) -> None:
        """Check that the generator's file, if one is named, exists.

        Raises:
            UserError: if it does not.
        """
        if self.given is not None and not self.given.is_file():
            field, otherwise = ("generator", "make its steps") if self.generator else ("start", "train from nothing")
            raise UserError(
                f"the pretrained generator {self.given} is missing; set recipes.<name>.pretraining.{field} to one of "
                f"this package ({', '.join(PACKAGED)}), to a .keras file, or to null to {otherwise}"
            )


class AdversarialParameters(Parameters):
    """Phase 2: generator against discriminator, perceptual and adversarial loss (Ledig et al., equation 3)."""

    steps: int = Field(200_000, ge=1)
    learning_rate: LearningRate = LearningRate()
    adam: AdamParameters = AdamParameters()
    objective: Literal["logistic", "wasserstein"] = Field(
        "logistic",
        description="'logistic': Goodfellow et al. 2014, equation 1, the generator's part as in Ledig et al., "
        "equation 6; 'wasserstein': Gulrajani et al. 2017, equation 3",
    )
    gradient_penalty: float = Field(
        10.0, ge=0, description="weight lambda of the penalty of the objective 'wasserstein' (Gulrajani et al. 2017)"
    )
    features: dict[FeatureLayer, float] = Field(
        {LAST_LAYER: 1.0},
        min_length=1,
        description="layers of VGG19 and the weights of their differences; several as in Johnson et al. 2016",
    )
    feature_scale: float = Field(
        1.0, gt=0, description="factor on VGG features before their difference; Ledig et al., section 3.2: 1/12.75"
    )
    weight: float = Field(1.0, ge=0, description="of the adversarial loss; Ledig et al., equation 3: 1e-3")
    pixel_weight: float = Field(
        0.0,
        ge=0,
        description="of the mean squared error of pixels; Wang et al. 2018 (ESRGAN), equation 3, has one as well",
    )
    smooth_area_weight: float = Field(
        0.0,
        ge=0,
        description="of the squared difference of fine detail, in grey levels, where the photograph is smooth: holds "
        "back dots beside edges. After an idea of Liang et al. 2022; measured in docs/release-recipe.md",
    )
    smooth_area_contrast: float = Field(
        4.0,
        gt=0,
        description="grey levels of local standard deviation at which a pixel's weight in it is 1/e; likewise measured",
    )
    joint_batch: bool = Field(
        False,
        description="the discriminator sees photographs and generated images in one batch. In batches of their own, "
        "its batch normalization gives both the same mean and contrast, and takes away what tells them apart at first",
    )
    shift: int = Field(
        0,
        ge=0,
        multiple_of=16,
        description="VGG19 and the discriminator see windows that are so much smaller than the crops, at places drawn "
        "for each step. Else what their strides prefer always falls on the same of the 4x4 pixels that the generator "
        "makes of one, which it learns: a grid",
    )
    interpolation: float = Field(
        1.0,
        gt=0,
        le=1,
        description="alpha: how much of the weights that are kept is this phase's; the rest is the pretraining's: "
        "Wang et al. 2018 (ESRGAN), section 3.4. Validation and the choice of the best see the weights before it. "
        "Moving moments of a batch normalization are interpolated as well, and then are not quite those of the network",
    )


class GrowthParameters(Parameters):
    """Before the adversarial phase, train at half the resolution; then fade the rest in (Karras et al. 2018).

    Section 3 of the paper: 800k images each for a new resolution's fading in and for its own training at first,
    600k in its final form (appendix A); 37,500 steps of 16 crops are 600k images.
    """

    steps: int = Field(37_500, ge=1, description="adversarial steps at half the resolution")
    fade_steps: int = Field(
        37_500, ge=1, description="first steps of the adversarial phase, over which the full resolution fades in"
    )


class Recipe(Parameters):
    """One way of training; every field can be overridden with ``--params=recipes.<name>.<field>=<value>``."""

    generator: GeneratorParameters = GeneratorParameters()
    discriminator: DiscriminatorParameters = DiscriminatorParameters()
    batch_size: int = Field(16, ge=1, description="crops per step (Ledig et al. 2017, section 3.2)")
    augment: bool = Field(False, description="one of the 8 flips and quarter turns, drawn for each crop and epoch")
    pretraining: PretrainingParameters | None = Field(None, description="none: adversarial from scratch")
    growth: GrowthParameters | None = Field(None, description="none: the full resolution from the start")
    adversarial: AdversarialParameters = AdversarialParameters()
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of an exponential moving average of the generator, which is then what is validated and saved "
        "(Karras et al. 2018, appendix A: 0.999); 0: none",
    )

    def comparing(self, layer: FeatureLayer | None) -> Self:
        """This recipe with one layer of VGG19 in its perceptual loss; None: with its own ones."""
        if layer is None:
            return self
        adversarial = self.adversarial.model_copy(update={"features": {layer: 1.0}})
        return self.model_copy(update={"adversarial": adversarial})

    @property
    def total_steps(self) -> int:
        """Steps of all phases."""
        phases = (self.pretraining, self.growth, self.adversarial)
        return sum(phase.steps for phase in phases if phase)

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        if self.adversarial.objective == "wasserstein" and self.discriminator.batch_normalization:
            raise ValueError(
                "the gradient penalty is of each image on its own, so its critic has no batch normalization "
                "(Gulrajani et al. 2017, section 4): set discriminator.batch_normalization to false"
            )
        if self.adversarial.interpolation < 1 and not self.pretraining:
            raise ValueError("adversarial.interpolation is between pretrained weights and others: set pretraining")
        if self.growth and self.adversarial.shift:
            raise ValueError("growing networks need whole crops: set adversarial.shift to 0")
        if self.growth and self.generator.upsampling == "direct":
            raise ValueError("growth is by upsampling blocks: set generator.upsampling to nearest or subpixel")
        if self.growth and self.growth.fade_steps > self.adversarial.steps:
            raise ValueError("growth.fade_steps must not exceed adversarial.steps, or fading in never ends")
        return self


class TrainParameters(Parameters):
    """How training runs on this machine, and how often it reports."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="compute type; weights stay float32. 'auto': bfloat16 where the processor has it; 'float16' scales "
        "the losses (Micikevicius et al. 2018, section 3.2)",
    )
    distribute: Literal["none", "mirrored", "multi_worker"] = Field(
        "none", description="one device, all of this machine, or those of all machines that TF_CONFIG names"
    )
    log_every: int = Field(50, ge=1, description="steps between two rows of losses")
    validate_every: int = Field(500, ge=1, description="steps between two measurements on validation crops")
    validation_crops: int = Field(16, ge=1, description="validation crops measured each time")
    checkpoint_every: int = Field(
        500, ge=1, description="steps between two checkpoints; they come with the next row of losses"
    )
    keep_checkpoints: int = Field(2, ge=1, description="newest checkpoints that stay")
    resume: Literal[True, False, "any"] = Field(
        True,
        description="go on from the newest checkpoint of the same training, if there is one; 'any': even if other code "
        "or libraries wrote it",
    )
