import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import LAST_LAYER, PerceptualParameters
from sr_pipeline.packaged import packaged_file
from sr_pipeline.parameters import check_parameters
from sr_pipeline.training.recipes import PretrainingParameters, Recipe
from tests.conftest import committed_parameters


@pytest.fixture(scope="module")
def base():
    return committed_parameters()


def set_at(raw, name, value):
    changed = copy.deepcopy(raw)
    *path, last = name.split(".")
    place = changed
    for part in path:
        place = place[part]
    place[last] = value
    return changed


def test_the_committed_parameters_are_valid(base):
    parameters = check_parameters(base)
    assert parameters.chosen_recipe() == parameters.recipes["sample"]


@pytest.mark.parametrize("environment", ["coco2014", "release"])
def test_the_committed_environments_are_valid(environment):
    parameters = check_parameters(committed_parameters(environment))
    assert parameters.recipe == {"coco2014": "seed", "release": "fidelity"}[environment]


def test_recipe_seed_is_the_defaults_and_ledig2017_is_the_papers(base):
    recipes = check_parameters(base).recipes
    assert recipes["seed"] == Recipe()
    ledig = recipes["ledig2017"]
    assert ledig.pretraining.learning_rate.initial == 1e-4
    assert ledig.adversarial.feature_scale == pytest.approx(1 / 12.75)
    assert ledig.adversarial.weight == 1e-3
    assert ledig.discriminator.dense == 1024
    assert ledig.generator.upsampling == "subpixel"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("recipe", "smaple", "recipe 'smaple' is unknown; did you mean 'sample'?"),
        ("recpie", "seed", "parameter 'recpie' is unknown; did you mean 'recipe'?"),
        ("train.precison", "auto", "parameter 'train.precison' is unknown; did you mean 'train.precision'?"),
        (
            "recipes.sample.generator.filter",
            8,
            "parameter 'recipes.sample.generator.filter' is unknown; did you mean 'recipes.sample.generator.filters'?",
        ),
        (
            "recipes.sample.pretraining.learning_rate.inital",
            1,
            "parameter 'recipes.sample.pretraining.learning_rate.inital' is unknown; "
            "did you mean 'recipes.sample.pretraining.learning_rate.initial'?",
        ),
        ("seed", -1, "parameter 'seed' is -1: input should be greater than or equal to 0"),
        (
            "train.precision",
            "int8",
            "parameter 'train.precision' is 'int8': input should be 'auto', 'float32', 'bfloat16' or 'float16'",
        ),
        ("train.resume", "always", "parameter 'train.resume' is 'always': input should be True, False or 'any'"),
        ("materialize.crop_size", 50, "parameter 'materialize.crop_size' is 50: input should be a multiple of 4"),
    ],
)
def test_bad_parameters_give_one_clear_line(base, name, value, message):
    with pytest.raises(UserError) as caught:
        check_parameters(set_at(base, name, value))
    assert str(caught.value) == message


def test_an_unknown_recipe_is_told_of_all_there_are(base):
    with pytest.raises(UserError) as caught:
        check_parameters(set_at(base, "recipe", "zzz"))
    assert str(caught.value) == f"recipe 'zzz' is unknown; choose one of: {', '.join(sorted(base['recipes']))}"


def test_a_missing_pretrained_generator_is_reported_before_the_run():
    for field, otherwise in (("generator", "make its steps"), ("start", "train from nothing")):
        missing = rf"gone\.keras is missing; set recipes\.<name>\.pretraining\.{field} to .* or to null to {otherwise}$"
        with pytest.raises(UserError, match=missing):
            PretrainingParameters(**{field: "gone.keras"}).check_file()
    PretrainingParameters(start="fidelity").check_file()
    both = PretrainingParameters(start="fidelity", generator="perceptual")
    assert both.given == packaged_file("perceptual")


def test_a_missing_parameter(base):
    changed = copy.deepcopy(base)
    del changed["materialize"]["crops_per_image"]
    with pytest.raises(
        UserError, match=r"'materialize\.crops_per_image' is missing; set it in conf/base or with --params"
    ):
        check_parameters(changed)


@given(st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1), st.sampled_from(["", "train", "recipes.seed", "register"]))
def test_any_unknown_name_is_refused_in_one_line(base, name, place):
    full = f"{place}.{name}".strip(".")
    known = base
    for part in filter(None, place.split(".")):
        known = known[part]
    if name in known or name in Recipe.model_fields:
        return
    with pytest.raises(UserError) as caught:
        check_parameters(set_at(base, full, 1))
    assert f"parameter '{full}' is unknown; " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_weights_file_is_looked_for(tmp_path):
    file = tmp_path / "vgg.weights.h5"
    with pytest.raises(UserError, match=r"is missing; set perceptual\.weights to 'packaged'"):
        PerceptualParameters(weights=str(file)).check([LAST_LAYER])
    file.touch()
    with pytest.raises(UserError, match=r"vgg\.weights\.h5 does not hold the weights of VGG19 without top \("):
        PerceptualParameters(weights=str(file)).check([LAST_LAYER])
    PerceptualParameters(weights="imagenet").check([LAST_LAYER])


def test_packaged_features_reach_so_far(base):
    PerceptualParameters().check(["block1_conv2", "block2_conv2"])
    with pytest.raises(UserError, match=r"block5_conv4 is wanted, .* end at block2_conv2: set perceptual\.weights to"):
        PerceptualParameters().check(["block1_conv2", "block5_conv4"])
    seed = set_at(base, "recipe", "seed")
    assert list(check_parameters(seed).chosen_recipe().adversarial.features) == ["block5_conv4"]
    other = check_parameters(set_at(seed, "perceptual.layer", "block2_conv2")).chosen_recipe()
    assert other.adversarial.features == {"block2_conv2": 1.0}
    assert other.adversarial.steps == check_parameters(seed).chosen_recipe().adversarial.steps


def test_what_the_default_run_takes_from_others_is_packaged(base):
    parameters = check_parameters(base)
    assert (parameters.perceptual.weights, parameters.lpips.weights) == ("packaged", "packaged")
    parameters.perceptual.check(parameters.chosen_recipe().adversarial.features)
    assert parameters.chosen_recipe().pretraining.given == packaged_file("fidelity")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("recipes.wgan_gp.discriminator.batch_normalization", True, "has no batch normalization"),
        ("recipes.progressive.adversarial", {"steps": 100}, r"growth\.fade_steps must not exceed adversarial\.steps"),
        ("recipes.progressive.adversarial", {"shift": 16}, r"need whole crops: set adversarial\.shift to 0"),
        (
            "recipes.progressive.generator",
            {"upsampling": "direct"},
            r"set generator\.upsampling to nearest or subpixel",
        ),
        ("recipes.seed.adversarial", {"interpolation": 0.5}, "between pretrained weights and others: set pretraining"),
        ("recipes.seed.generator", {"refinement": {"filters": 4}}, "refinement goes with upsampling .direct."),
        ("recipes.seed.ema_decay", 1.0, "'recipes.seed.ema_decay' is 1.0: input should be less than 1"),
    ],
)
def test_parts_of_a_recipe_have_to_fit(base, name, value, message):
    with pytest.raises(UserError, match=message):
        check_parameters(set_at(base, name, value))


def test_the_recipes_of_the_design(base):
    recipes = check_parameters(base).recipes
    assert set(recipes) >= {"seed", "ledig2017", "wgan_gp", "progressive", "sample"}
    ledig = recipes["ledig2017"]
    assert (ledig.pretraining.learning_rate.initial, ledig.adversarial.steps) == (1e-4, 200_000)
    assert (ledig.discriminator.dense, ledig.generator.upsampling) == (1024, "subpixel")
    assert (ledig.adversarial.feature_scale, ledig.adversarial.weight) == (pytest.approx(1 / 12.75), 1e-3)
    wgan = recipes["wgan_gp"]
    assert (wgan.adversarial.gradient_penalty, wgan.adversarial.adam.beta_1, wgan.adversarial.adam.beta_2) == (
        10,
        0,
        0.9,
    )
    assert recipes["progressive"].growth is not None
    assert {name: recipes[name].total_steps for name in ("seed", "ledig2017", "progressive")} == {
        "seed": 200_000,
        "ledig2017": 1_200_000,
        "progressive": 237_500,
    }
