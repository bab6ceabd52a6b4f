import numpy as np

from numlp.data.splits import test_rows as rows_for_a_test


def test_rows_for_a_test_are_a_share_of_each_class_and_never_a_whole_one() -> None:
    labels = np.concatenate([np.repeat([0, 1, 2], [600, 300, 100]), np.arange(3, 13)])
    for seed in range(20):
        chosen = rows_for_a_test(labels, 0.2, np.random.default_rng(seed))
        counts = np.bincount(labels[chosen], minlength=13)
        assert np.abs(counts[:3] - [120, 60, 20]).max() <= 1 and not counts[3:].any()
    other = rows_for_a_test(labels, 0.2, np.random.default_rng(99))
    assert (other != chosen).any()
    assert (rows_for_a_test(labels, 0.2, np.random.default_rng(99)) == other).all()
    assert not rows_for_a_test(labels, 0, np.random.default_rng(0)).any()
