"""Average linkage against the definition, written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from workbench.attribution.clustering import average_linkage, cut


def random_similarity(n_items: int, seed: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).random((n_items, n_items))
    return (matrix + matrix.T) / 2


def by_definition(similarity: np.ndarray, k: int) -> set[frozenset[int]]:
    """Merge the two groups with the largest mean similarity until k are left."""
    groups = [frozenset([item]) for item in range(len(similarity))]
    while len(groups) > k:
        pairs = itertools.combinations(groups, 2)
        one, other = max(pairs, key=lambda pair: similarity[np.ix_(sorted(pair[0]), sorted(pair[1]))].mean())
        groups = [group for group in groups if group not in (one, other)] + [one | other]
    return set(groups)


def as_sets(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 2, 5, 9, 20])
def test_groups_are_those_of_always_merging_the_two_most_similar(seed: int, k: int) -> None:
    similarity = random_similarity(20, seed)
    merges = average_linkage(similarity)
    labels = cut(merges, 20, similarity=merges[20 - k - 1][2] if k < 20 else 1.1)
    assert as_sets(labels) == by_definition(similarity, k)


def test_groups_that_are_less_similar_stay_apart() -> None:
    similarity = np.full((6, 6), 0.1)
    similarity[:2, :2] = 0.9
    similarity[2:5, 2:5] = 0.6
    merges = average_linkage(similarity)
    assert as_sets(cut(merges, 6, similarity=0.5)) == {frozenset({0, 1}), frozenset({2, 3, 4}), frozenset({5})}
    assert as_sets(cut(merges, 6, similarity=0.7)) == {frozenset({0, 1}), *(frozenset({item}) for item in range(2, 6))}


def test_equal_similarities_come_to_an_end_and_to_one_group() -> None:
    merges = average_linkage(np.ones((40, 40)))
    assert [near for _, _, near in merges] == [1.0] * 39
    assert (cut(merges, 40, similarity=1.0) == 0).all()


@pytest.mark.parametrize("n_items", [0, 1])
def test_nothing_to_merge_is_no_error(n_items: int) -> None:
    assert average_linkage(np.ones((n_items, n_items))) == []
    assert len(cut([], n_items, similarity=0.0)) == n_items


def test_what_was_given_is_not_changed() -> None:
    similarity = random_similarity(5, 0)
    before = similarity.copy()
    average_linkage(similarity)
    assert (similarity == before).all()
