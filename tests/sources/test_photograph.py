from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from sr_pipeline.sources.photograph import Photograph, Selection

PHOTOGRAPHS = st.lists(
    st.builds(
        Photograph, st.integers(0, 2**63 - 1), st.just(UPath("a")), st.just("train"), st.integers(50, 300), st.just(200)
    ),
    unique_by=lambda photograph: photograph.id,
)


def chosen(photographs, seed, count):
    return Selection(seed, count, min_size=96).of(photographs)


@given(PHOTOGRAPHS, st.integers(0, 99), st.integers(1, 20), st.integers(0, 9))
def test_a_larger_number_contains_the_smaller(photographs, seed, count, more):
    assert set(chosen(photographs, seed, count)) <= set(chosen(photographs, seed, count + more))


@given(PHOTOGRAPHS, st.integers(0, 99), st.integers(1, 20))
def test_as_many_large_enough_ones_as_asked_for(photographs, seed, count):
    large = [photograph for photograph in chosen(photographs, seed, count) if photograph.width >= 96]
    assert len(large) == min(count, sum(photograph.width >= 96 for photograph in photographs))


@given(PHOTOGRAPHS, st.integers(0, 99), st.integers(1, 20), st.randoms())
def test_neither_order_nor_the_others_matter(photographs, seed, count, random):
    before = chosen(photographs, seed, count)
    assert before == sorted(before, key=lambda photograph: photograph.id)
    random.shuffle(photographs)
    assert chosen(photographs, seed, count) == before
    without = [photograph for photograph in photographs if photograph not in before[:1]]
    assert set(before[1:]) <= set(chosen(without, seed, count))


def test_the_seed_matters():
    photographs = [Photograph(number, UPath("a"), "train") for number in range(100)]
    assert chosen(photographs, 0, 10) != chosen(photographs, 1, 10)
    assert chosen(photographs, 0, None) == photographs
