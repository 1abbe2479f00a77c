import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sr_pipeline.imaging.matching_curve import Distribution, Scale, matched_values

counts = st.dictionaries(st.integers(0, 255), st.sampled_from([1, 5, 50, 3000]), min_size=1, max_size=8)


def matched(picture, reduced, reference):
    """What each value of a picture becomes, from how often values occur."""
    distributions = (
        Distribution.of_counts(np.bincount(list(each), list(each.values())).astype(int))
        for each in (picture, reduced, reference)
    )
    return matched_values(*distributions, Scale(0, 255))


@given(counts, counts, counts)
@example({30: 3000, 78: 50, 83: 5, 94: 1}, {30: 3000, 78: 50}, {32: 3000, 79: 50})
def test_what_is_darker_stays_so(picture, reduced, reference):
    new = matched(picture, reduced, reference)
    assert np.all(np.diff(new) >= 0)
    assert min(reference) <= new[0]
    assert new[-1] <= max(reference)


def test_the_soft_edge_of_an_area_does_not_become_the_area():
    """The reference has one gray, so of many grays only that in the middle of their ranks is known to be it."""
    soft = {0: 1000, **dict.fromkeys(range(120, 137), 60), 255: 1000}
    assert np.allclose(matched(soft, soft, {0: 1000, 128: 1000, 255: 1000}), sorted(soft))


def test_white_is_the_highest_rank():
    """Also where less of the reference is white than of the picture."""
    picture = {0: 1000, 255: 1000}
    assert matched(picture, picture, {0: 1000, 250: 1000, 255: 1}).tolist() == [0, 255]
