"""Decisions about versions, in a real registry (SQLite)."""

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    ModelScore,
    choose_alias,
    find_alias,
    give_alias,
    promote,
    roll_back,
    score_of,
)

NAME = "sr-generator"


def score(value, metric="val/srgan/psnr_y", data="d", protocol="p"):
    return ModelScore(metric, value, data, protocol)


def register(client, score):
    """A new version, judged and given its alias."""
    version = client.create_model_version(NAME, source="file:///nowhere").version
    for key, value in score.tags().items():
        client.set_model_version_tag(NAME, version, key, value)
    alias, reason = choose_alias(client, NAME, score)
    give_alias(client, NAME, version, alias, reason)
    return alias, reason


def champion(client):
    return int(find_alias(client, NAME, CHAMPION).version)


def test_the_better_one_becomes_champion(client):
    assert register(client, score(27.0)) == (CHAMPION, "there was no champion")
    assert register(client, score(26.0))[0] == CHALLENGER
    alias, reason = register(client, score(28.0))
    assert alias == CHAMPION
    assert reason == "val/srgan/psnr_y 28.0000 against 27.0000 of the champion (version 1)"
    assert register(client, score(28.0))[0] == CHALLENGER, "as good is not better"
    assert champion(client) == 3
    assert client.get_model_version(NAME, "3").tags["alias_reason"] == f"champion: {reason}"


def test_less_is_better_for_distances(client):
    lpips = "val/srgan/lpips"
    register(client, score(0.2, lpips))
    assert register(client, score(0.3, lpips))[0] == CHALLENGER
    assert register(client, score(0.1, lpips))[0] == CHAMPION


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (score(99.0, data="other"), "was measured on other pictures"),
        (score(99.0, protocol="other"), "was measured by another protocol"),
        (score(99.0, "val/srgan/ssim_y"), "val/srgan/ssim_y of the champion (version 1) is unknown"),
    ],
)
def test_what_does_not_compare_is_no_champion(client, other, reason):
    register(client, score(27.0))
    alias, why = register(client, other)
    assert alias == CHALLENGER
    assert reason in why
    assert champion(client) == 1


def test_promotion_by_hand_and_the_way_back(client):
    for value in (27.0, 26.0, 25.0):
        register(client, score(value))
    assert promote(client, NAME, "3") == "sr-generator version 3 is champion; version 1 was"
    assert champion(client) == 3
    assert roll_back(client, NAME) == "sr-generator version 1 is champion; version 3 was"
    assert champion(client) == 1
    assert roll_back(client, NAME) == "sr-generator version 3 is champion; version 1 was", "and forth again"


def test_versions_that_are_not_there(client):
    with pytest.raises(UserError, match="nothing is registered under that name"):
        promote(client, NAME, "1")
    with pytest.raises(UserError, match="no earlier champion of sr-generator is known"):
        roll_back(client, NAME)
    register(client, score(27.0))
    with pytest.raises(UserError, match=r"there is no version 7 of sr-generator; there are: 1 \(champion\)"):
        promote(client, NAME, "7")
    with pytest.raises(UserError, match="there is no registered model other"):
        roll_back(client, "other")


def test_the_merit_of_an_evaluation():
    evaluation = {"protocol": {"scale": 4}, "sets": {"val": {"sha256": "abc"}}}
    first = score_of("val/srgan/psnr_y", {"val/srgan/psnr_y": 27.0}, evaluation)
    assert (first.value, first.data_sha256) == (27.0, "abc")
    other = score_of("val/srgan/psnr_y", {"val/srgan/psnr_y": 27.0}, evaluation | {"protocol": {"scale": 2}})
    assert other.protocol_sha256 != first.protocol_sha256
    with pytest.raises(UserError, match=r"register\.metric 'val/x/y' was not measured; choose one of: val/srgan"):
        score_of("val/x/y", {"val/srgan/psnr_y": 27.0}, evaluation)
