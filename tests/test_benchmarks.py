import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import child, predict, runner, tables
from benchmarks.data import he_normal, make_table, write
from benchmarks.runner import ChildError, Competitor
from benchmarks.works import WORKS, Work, floor_us, flops, work_from

DIGITS = Work("digits", (64, 16, 10), 32, "adam", 1e-2, 1.0, 1.0)


def test_works_are_those_that_were_asked_for() -> None:
    asked = [
        ((784, 100, 10), 32, "sgd", 0.70, 0.25),
        ((784, 300, 10), 128, "sgd", 0.85, 0.35),
        ((784, 300, 10), 128, "adam", 0.80, 0.38),
        ((784, 512, 512, 10), 256, "adamw", 0.80, 0.45),
        ((784, 1000, 10), 512, "adam", 0.88, 0.42),
        ((784, 1000, 1000, 10), 4096, "sgd", 0.88, 0.48),
        ((20, 256, 256, 256, 1), 256, "adam", 0.75, 0.30),
    ]
    assert [(w.sizes, w.batch_size, w.optimizer, w.fastest, w.torch) for w in WORKS] == asked
    assert [w.name for w in WORKS if w.batch_norm or w.dropout] == ["mnist-512-512"]
    assert [(w.name, w.momentum) for w in WORKS if w.momentum] == [("mnist-1000-1000", 0.9)]
    assert [w.name for w in WORKS if w.table] == ["table"]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_work_survives_json(work: Work) -> None:
    assert work_from(json.loads(json.dumps(asdict(work)))) == work


def test_floor_counts_no_dx_of_the_first_layer() -> None:
    assert flops((784, 100, 10), 32) == 32 * (4 * 78_400 + 6 * 1_000)
    assert floor_us((784, 100, 10), 32, gflops=100.0) == pytest.approx(102.272)


def test_ratios_are_those_of_medians() -> None:
    times = {"numlp": [9.0, 2.0, 3.0], "torch": [10.0, 12.0, 14.0], "jax": [6.0, 4.0, 5.0]}
    assert tables.compare(times, floor=1.5) == tables.Ratios("jax", 3 / 5, 3 / 12, 0.5)
    assert tables.compare({"numlp": [1.0]}) == tables.Ratios(None, None, None, None)


def test_disagreement_refuses_another_loss() -> None:
    assert tables.disagreement({"numlp": 0.10, "jax": 0.11}, random=False) is None
    message = tables.disagreement({"numlp": 0.10, "torch": 0.13, "jax": 0.10}, random=False)
    assert message == "losses differ by more than 0.02: numlp 0.1000, torch 0.1300, jax 0.1000"
    assert tables.disagreement({"numlp": 0.10, "jax": 0.13}, random=True) is None
    assert tables.disagreement({"numlp": 2.0, "jax": 2.09}, random=False) is None
    for losses in ({"numlp": math.nan, "jax": 0.1}, {"numlp": 0.1, "jax": math.nan}, {"numlp": math.nan}):
        assert tables.disagreement(losses, random=False)


def test_record_keeps_ratios_of_other_works_and_releases(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    tables.record("1", {"a": tables.Ratios("jax", 0.12345, None, 0.5)}, path)
    tables.record("2", {"a": tables.Ratios("jax", 0.5, 0.25, None)}, path)
    tables.record("2", {"b": tables.Ratios("torch", 0.75, 0.75, None)}, path)
    history = json.loads(path.read_text())
    assert history["1"] == {"a": {"fastest_peer": "jax", "ratio": 0.123, "torch": None, "floor": 0.5}}
    assert set(history["2"]) == {"a", "b"}


def test_environment_of_children_has_no_tuning() -> None:
    given = {
        "OPENBLAS_CORETYPE": "Haswell",
        "OMP_NUM_THREADS": "1",
        "MKL_X": "",
        "GOTO_Y": "",
        "HOME": "/",
        "NUMLP_DATA": "d",
    }
    assert runner.clean_environment(given) == (
        {"HOME": "/", "NUMLP_DATA": "d"},
        ["GOTO_Y", "MKL_X", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE"],
    )


def test_peer_that_is_not_installed_is_left_out_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.installed(["jax"], tmp_path, "train") == [(runner.NUMLP, Path(sys.executable))]
    assert capsys.readouterr().out == f"jax is left out: not installed in {tmp_path}; `make bench` does that\n"


def test_sklearn_is_not_asked_for_what_it_cannot_do() -> None:
    sklearn = Competitor("sklearn", "sk")
    assert [work.name for work in WORKS if not sklearn.variants(work)] == ["mnist-512-512"]


def test_alternation_goes_on_with_the_fastest_variant_of_each() -> None:
    order = []

    def run(variant: str) -> dict[str, float]:
        order.append(variant)
        if variant == "broken":
            raise ChildError("peer: no")
        return {"us": {"slow": 2.0, "fast": 1.0, "own": 3.0}[variant]}

    runs = [("numlp", "own", run), ("peer", "slow", run), ("peer", "fast", run), ("peer", "broken", run)]
    results, failed = runner.alternate(runs, 3, lambda result: result["us"])
    assert order == ["own", "slow", "fast", "broken", "own", "fast", "own", "fast"]
    assert [r["variant"] for r in results["peer"]] == ["fast"] * 3 and len(results["numlp"]) == 3
    assert failed == ["peer: no"]


def test_step_time_leaves_out_the_first_epoch() -> None:
    assert child.step_us([0.0, 10.0, 11.0, 13.0, 16.0], warm=1, steps=4) == pytest.approx(0.5e6)


def test_data_are_cut_to_whole_batches(tmp_path: Path) -> None:
    work = replace(WORKS[-1], batch_size=64)
    assert write(work, tmp_path, make_table(20, 200, seed=0), seed=0) == 192
    assert np.load(tmp_path / "x.npy").shape == (192, 20) and np.load(tmp_path / "x_eval.npy").shape == (2000, 20)
    for i, W in enumerate(he_normal(work.sizes, np.random.default_rng(0))):
        np.testing.assert_array_equal(np.load(tmp_path / f"W{i}.npy"), W)


def test_labels_may_differ_only_in_ties(tmp_path: Path) -> None:
    assert predict.wrong_labels([1, 2, 3], [{1}, {0, 2}, {4}]) == 1
    allowed = predict.prepare(tmp_path, 5)
    assert len(allowed) == 5 and all(allowed)


def test_numlp_trains_and_answers_in_json(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (200, 64), np.uint8), rng.integers(0, 10, 200)
    rows = write(DIGITS, tmp_path, (x, y, x[:50], y[:50]), seed=0)
    job = {
        "task": "train",
        "work": asdict(DIGITS),
        "folder": str(tmp_path),
        "seed": 0,
        "warm": 1,
        "epochs": 2,
        "variant": "",
    }
    result = runner.measure(Path(sys.executable), "numlp", job, NUMLP_KERNELS="reference")
    assert rows == 192
    assert set(result) == {"step_us", "loss", "peak_mb"}
    assert result["step_us"] > 0 and result["peak_mb"] > 10 and 1 < result["loss"] < 4


def test_child_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"^numpy: KeyError: 'nothing'$"):
        runner.measure(Path(sys.executable), "numpy", {"task": "nothing"})
