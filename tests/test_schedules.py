import math
import re
from itertools import pairwise

import numpy as np
import pytest

import numlp as nl
from cases import SCHEDULE_VARIANTS
from numlp.errors import ArgumentError, DTypeError, ReadOnlyError

each_schedule = pytest.mark.parametrize("variant", SCHEDULE_VARIANTS, ids=str)


def rates(schedule, total):
    return [schedule(t, total) for t in range(total)]


@pytest.mark.parametrize("total", [1, 2, 3])
@each_schedule
def test_schedule_of_very_few_steps_stays_finite_and_never_negative(variant, total):
    for rate in rates(variant.build(), total):
        assert math.isfinite(rate)
        assert rate >= 0


@each_schedule
def test_schedule_is_a_function_of_its_arguments_alone(variant):
    schedule = variant.build()
    assert [schedule(t, 20) for t in (7, 3, 7)] == [rates(schedule, 20)[t] for t in (7, 3, 7)]


@each_schedule
def test_schedule_cannot_be_changed_and_equals_its_twin(variant):
    schedule = variant.build()
    assert schedule == variant.build()
    assert hash(schedule) == hash(variant.build())
    name = next(iter(variant.options))
    with pytest.raises(ReadOnlyError, match=f"{variant.kind.__name__}: {name} must stay"):
        setattr(schedule, name, 1)


def test_constant_is_constant():
    assert set(rates(nl.Constant(0.3), 50)) == {0.3}


@pytest.mark.parametrize("final", [0.0, 0.02])
def test_cosine_goes_down_from_the_rate_towards_the_final_one(final):
    found = rates(nl.Cosine(0.1, final), 100)
    assert found[0] == pytest.approx(0.1)
    assert found[50] == pytest.approx((0.1 + final) / 2)
    assert final < found[-1] < final + 1e-4
    assert all(a > b for a, b in pairwise(found))


def test_warm_up_rises_in_a_straight_line_to_the_rate_that_follows():
    found = rates(nl.WarmUp(5, nl.Cosine(0.1)), 25)
    np.testing.assert_allclose(found[:5], [0.02, 0.04, 0.06, 0.08, 0.1], rtol=1e-12)
    assert found[5:] == rates(nl.Cosine(0.1), 20)


def test_warm_up_longer_than_training_only_rises():
    np.testing.assert_allclose(rates(nl.WarmUp(10, nl.Constant(0.1)), 4), [0.01, 0.02, 0.03, 0.04], rtol=1e-12)


def test_warm_up_of_one_step_is_none():
    assert rates(nl.WarmUp(1, nl.Constant(0.1)), 4) == [0.1] * 4


def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing():
    found = rates(nl.OneCycle(0.1), 100)
    top = int(np.argmax(found))
    assert top == 29
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[top] == pytest.approx(0.1)
    assert found[-1] == pytest.approx(0.1 / 25 / 1e4)
    assert all(a < b for a, b in pairwise(found[: top + 1]))
    assert all(a > b for a, b in pairwise(found[top:]))


@pytest.mark.parametrize("rise", [0.01, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("total", [2, 3, 5, 10, 1000])
def test_one_cycle_ends_at_its_end_whatever_the_rise(total, rise):
    schedule = nl.OneCycle(0.1, rise)
    assert schedule(total - 1, total) == pytest.approx(0.1 / 25 / 1e4)
    assert max(rates(schedule, total)) <= 0.1 * (1 + 1e-12)


def test_one_cycle_of_one_step_is_its_peak():
    assert rates(nl.OneCycle(0.1), 1) == [0.1]


def test_step_falls_at_the_multiples_of_every():
    np.testing.assert_allclose(rates(nl.Step(1.0, 3, 0.5), 8), [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25], rtol=1e-15)


def test_exponential_of_many_steps_goes_to_zero_quietly():
    assert nl.Exponential(0.1, 0.5)(10_000, 20_000) == 0


def test_polynomial_of_power_one_is_a_straight_line():
    np.testing.assert_allclose(rates(nl.Polynomial(1.0, final=0.2), 4), [1, 0.8, 0.6, 0.4], rtol=1e-15)


def test_cosine_restarts_begin_again_after_periods_that_grow():
    found = rates(nl.CosineRestarts(0.1, period=3, growth=2), 21)
    assert [t for t, rate in enumerate(found) if rate == 0.1] == [0, 3, 9]
    assert found[:3] == rates(nl.Cosine(0.1), 3)
    assert found[9:] == rates(nl.Cosine(0.1), 12)
    assert nl.CosineRestarts(0.1, period=3)(3 * 10**12 + 1, 10**13) == nl.Cosine(0.1)(1, 3)


def test_cos_log4_has_four_waves_with_the_zeros_and_peaks_of_the_paper():
    schedule, total = nl.CosLog4(0.04), 256 * 30
    found = rates(schedule, total)
    for share in (0, 1 / 15, 3 / 15, 7 / 15):
        assert schedule(round(share * total), total) == pytest.approx(0, abs=1e-15)
    peaks = [t for t in range(1, total - 1) if found[t - 1] < found[t] >= found[t + 1]]
    expected = [(2 ** (k + 0.5) - 1) / 15 * 256 for k in range(4)]  # epochs 7, 31, 80, 176 of 256
    np.testing.assert_allclose(np.array(peaks) / 30, expected, atol=0.1)
    np.testing.assert_allclose([found[t] for t in peaks], 0.04, rtol=1e-4)


def test_flat_cosine_is_flat_up_to_the_middle_and_ends_at_zero():
    found = rates(nl.FlatCosine(0.2), 100)
    assert set(found[:51]) == {0.2}
    assert found[75] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(found[50:]))
    assert nl.FlatCosine(0.2)(100, 100) == 0


@pytest.mark.parametrize("then", [nl.CosLog4(0.1), nl.Step(0.1, 2), nl.CosineRestarts(0.1, 3), nl.OneCycle(0.1)], ids=str)
def test_warm_up_stands_before_any_schedule(then):
    found = rates(nl.WarmUp(4, then), 20)
    assert found[4:] == rates(then, 16)
    np.testing.assert_allclose(found[:4], then(0, 16) * np.array([0.25, 0.5, 0.75, 1]), rtol=1e-15)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nl.Constant(0), ArgumentError, "Constant: learning_rate must be a number above 0, got 0"),
        (lambda: nl.Constant("x"), DTypeError, "Constant: learning_rate must be a number above 0, got 'x'"),
        (lambda: nl.Cosine(-1), ArgumentError, "Cosine: learning_rate must be a number above 0, got -1"),
        (lambda: nl.Cosine(1, -1), ArgumentError, "Cosine: final must be a number at least 0, got -1"),
        (lambda: nl.WarmUp(0, nl.Constant(1)), ArgumentError, "WarmUp: steps must be a whole number of at least 1, got 0"),
        (
            lambda: nl.WarmUp(5, 0.1),
            ArgumentError,
            "WarmUp: then must be a schedule, got 0.1; a plain rate is Constant(rate)",
        ),
        (lambda: nl.Step(0, 1), ArgumentError, "Step: learning_rate must be a number above 0, got 0"),
        (lambda: nl.Step(1, 0), ArgumentError, "Step: every must be a whole number of at least 1, got 0"),
        (lambda: nl.Step(1, 1, 1.5), ArgumentError, "Step: factor must be a number above 0 and at most 1, got 1.5"),
        (lambda: nl.Step(1, 1, 0), ArgumentError, "Step: factor must be a number above 0, got 0"),
        (lambda: nl.Exponential(0, 1), ArgumentError, "Exponential: learning_rate must be a number above 0, got 0"),
        (lambda: nl.Exponential(1, 2), ArgumentError, "Exponential: factor must be a number above 0 and at most 1, got 2"),
        (lambda: nl.Polynomial(0), ArgumentError, "Polynomial: learning_rate must be a number above 0, got 0"),
        (lambda: nl.Polynomial(1, -1), ArgumentError, "Polynomial: final must be a number at least 0, got -1"),
        (lambda: nl.Polynomial(1, 0, 0), ArgumentError, "Polynomial: power must be a number above 0, got 0"),
        (lambda: nl.CosineRestarts(0, 1), ArgumentError, "CosineRestarts: learning_rate must be a number above 0, got 0"),
        (
            lambda: nl.CosineRestarts(1, 0),
            ArgumentError,
            "CosineRestarts: period must be a whole number of at least 1, got 0",
        ),
        (
            lambda: nl.CosineRestarts(1, 1, 1.5),
            DTypeError,
            "CosineRestarts: growth must be a whole number of at least 1, got 1.5",
        ),
        (lambda: nl.CosineRestarts(1, 1, 1, -1), ArgumentError, "CosineRestarts: final must be a number at least 0, got -1"),
        (lambda: nl.CosLog4(0), ArgumentError, "CosLog4: peak must be a number above 0, got 0"),
        (lambda: nl.FlatCosine(0), ArgumentError, "FlatCosine: learning_rate must be a number above 0, got 0"),
        (lambda: nl.OneCycle(0), ArgumentError, "OneCycle: peak must be a number above 0, got 0"),
        (lambda: nl.OneCycle(1, 0), ArgumentError, "OneCycle: rise must be a number above 0 and below 1, got 0"),
        (lambda: nl.OneCycle(1, 1), ArgumentError, "OneCycle: rise must be a number above 0 and below 1, got 1"),
        (
            lambda: nl.OneCycle(1, 0.3, 0.5),
            ArgumentError,
            "OneCycle: start_divisor must be a number at least 1, got 0.5",
        ),
        (
            lambda: nl.OneCycle(1, 0.3, 25, 0.5),
            ArgumentError,
            "OneCycle: end_divisor must be a number at least 1, got 0.5",
        ),
    ],
)
def test_schedule_rejects_arguments_out_of_range(build, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build()


def test_schedule_without_a_formula_says_so():
    with pytest.raises(NotImplementedError):
        nl.Schedule()(0, 1)
