"""Recipes: everything that decides what is trained, as typed and validated parameters.

The defaults are recipe ``seed``. ``conf/base/parameters_recipes.yml`` names the recipes and states only
what each changes. This module does not import TensorFlow.
"""

from typing import Literal

from pydantic import Field

from sr_pipeline.networks.parameters import DiscriminatorParameters, GeneratorParameters, Parameters


class LearningRate(Parameters):
    """Learning rate over the steps of one phase, for Adam (Kingma & Ba 2015)."""

    initial: float = Field(1e-4, gt=0, description="Ledig et al. 2017, section 3.2")
    decay: Literal["constant", "cosine", "step"] = Field(
        "constant",
        description="'cosine' falls to zero (Loshchilov & Hutter 2017, equation 5, no restart); "
        "'step' divides by 10 half-way (Ledig et al. 2017, section 3.2: 1e-4, then 1e-5)",
    )
    warmup_steps: int = Field(0, ge=0, description="linear rise from zero")


class PretrainingParameters(Parameters):
    """Phase 1: the generator alone on mean squared error, which makes it an SRResNet (Ledig et al., section 3.2)."""

    steps: int = Field(1_000_000, ge=1)
    learning_rate: LearningRate = LearningRate()


class AdversarialParameters(Parameters):
    """Phase 2: generator against discriminator, perceptual and adversarial loss (Ledig et al., equation 3)."""

    steps: int = Field(200_000, ge=1)
    learning_rate: LearningRate = LearningRate()
    feature_scale: float = Field(
        1.0, gt=0, description="factor on VGG features before their difference; Ledig et al., section 3.2: 1/12.75"
    )
    weight: float = Field(1.0, ge=0, description="of the adversarial loss; Ledig et al., equation 3: 1e-3")


class Recipe(Parameters):
    """One way of training; every field can be overridden with ``--params=recipes.<name>.<field>=<value>``."""

    generator: GeneratorParameters = GeneratorParameters()
    discriminator: DiscriminatorParameters = DiscriminatorParameters()
    batch_size: int = Field(16, ge=1, description="crops a step (Ledig et al. 2017, section 3.2)")
    augment: bool = Field(False, description="one of the 8 flips and quarter turns, drawn for each crop and epoch")
    pretraining: PretrainingParameters | None = Field(None, description="none: adversarial from scratch")
    adversarial: AdversarialParameters = AdversarialParameters()


class TrainParameters(Parameters):
    """How training runs on this machine, and how often it reports."""

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="compute type; weights stay float32. 'auto': bfloat16 where the processor has it"
    )
    log_every: int = Field(50, ge=1, description="steps between two rows of losses")
    validate_every: int = Field(500, ge=1, description="steps between two measurements on validation crops")
    validation_crops: int = Field(16, ge=1, description="validation crops measured each time")
    checkpoint_every: int = Field(
        500, ge=1, description="steps between two checkpoints; they come with the next row of losses"
    )
    keep_checkpoints: int = Field(2, ge=1, description="newest checkpoints that stay")
    resume: bool = Field(True, description="go on from the newest checkpoint of the same training, if there is one")
