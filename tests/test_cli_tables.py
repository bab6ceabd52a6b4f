"""The commands for tables in files: what is found is said, what does not fit is named, and the model file knows the rest."""

import csv
import json
import signal
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import numlp as nl
from numlp.cli import app
from numlp.cli.app import print_confusion
from numlp.data.splits import test_rows as rows_for_a_test
from numlp.estimators import TabularClassifier, TabularRegressor, table_model

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

QUICK = ("--effort", "fast", "--epochs", "3", "--hidden", "8")


def numlp(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments])


def succeeds(*arguments: Any) -> str:
    result = numlp(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def fails(*arguments: Any, status: int = 2) -> str:
    result = numlp(*arguments)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    return result.stderr.strip()


def table(n: int = 120) -> dict[str, list[Any]]:
    """Return columns of which `kind` decides `sold`, and `size` and `kind` the `price`."""
    rng = np.random.default_rng(0)
    size, kind = rng.uniform(10, 90, n).round(1), rng.choice(["flat", "house, old", 'a "hut"\nor two'], n)
    price = size * 3 + 50.5 * (kind == "flat")
    code = rng.integers(0, 3, n)
    gaps = [None if i % 7 == 0 else float(s) for i, s in enumerate(size)]
    sold = np.where(kind == "flat", "yes", "no")
    return {
        "size": gaps, "kind": kind.tolist(), "code": code.tolist(), "id": list(range(n)), "price": price.tolist(), "sold": sold.tolist(),
    }  # fmt: skip


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", table())
    return tmp_path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a model of classes and one of numbers, trained from one CSV file."""
    folder = tmp_path_factory.mktemp("models")
    path, found = write(folder / "t.csv", table()), {}
    for target, other in (("sold", "price"), ("price", "sold")):
        found[target] = folder / f"{target}.safetensors"
        succeeds(
            "train", path, "--target", target, "--drop", other, "--drop", "id", *QUICK, "--quiet", "--out", found[target]
        )
    return found


def test_train_says_what_the_table_holds_and_saves_a_model_that_knows_it(here: Path) -> None:
    out = succeeds("train", "t.csv", "--target", "sold", "--drop", "price", "--categorical", "code", *QUICK)
    lines = out.splitlines()
    assert lines[0] == "t.csv: 120 rows, 4 columns beside the target"
    assert lines[1] == "classification of 'sold': the target is text"
    assert lines[2].startswith("2 classes: no ") and "%, yes " in lines[2]
    assert [line.split() for line in lines[3:8]] == [
        ["column", "kind", "different", "missing"],
        *(["size", "number", lines[4].split()[2], "18"], ["kind", "category", "3", "0"]),
        *(["code", "category", "3", "0"], ["id", "number", "120", "0", *"counts the rows: --drop it".split()]),
    ]
    assert lines[8].startswith("test accuracy ") and lines[8].endswith("(24 rows that were not trained on)")
    assert lines[9].startswith("saved t.safetensors after ")
    model = TabularClassifier.load("t.safetensors")
    assert model.notes_["target"] == "sold" and model.notes_["drop"] == ["price"]
    assert set(model.notes_["test"]) == {"accuracy", "log_loss"}
    assert model.feature_names_in_.tolist() == ["size", "kind", "code", "id"] and model.classes_.tolist() == ["no", "yes"]


def test_train_json_is_one_object_and_the_test_figures_are_those_of_the_rows_left_out(here: Path) -> None:
    flags = ("--target", "price", "--drop", "sold", "--json", "--seed", "3", "--effort", "fast", "--epochs", "100")
    result = numlp("train", "t.csv", *flags)
    facts = json.loads(result.stdout)
    assert facts["task"] == "regression" and facts["rows"] == {"train": 96, "test": 24, "without_target": 0}
    assert facts["columns"][0] == {
        "name": "size",
        "kind": "number",
        "different": facts["columns"][0]["different"],
        "missing": 18,
        "advice": "",
    }
    assert facts["test"]["r2"] > 0.5 and facts["test"]["mae"] <= facts["test"]["rmse"] and facts["epochs"] == 100
    assert "regression of 'price'" in result.stderr
    rows = np.flatnonzero(rows_for_a_test(np.zeros(120, int), 0.2, np.random.default_rng(3)))
    frame = pa.table({name: table()[name] for name in ("size", "kind", "code", "id")}).take(rows)
    score = TabularRegressor.load("t.safetensors").score(frame, np.array(table()["price"])[rows])
    assert facts["test"]["r2"] == pytest.approx(score)
    first = Path("t.safetensors").read_bytes()
    succeeds("train", "t.csv", *flags)
    assert Path("t.safetensors").read_bytes() == first
    facts = json.loads(numlp("train", "t.csv", *flags, "--test-fraction", "0").stdout)
    assert facts["test"] is None and facts["rows"]["train"] == 120


TARGETS = {
    "ten whole numbers": (list(range(10)) * 12, "classification", "10 different whole numbers"),
    "eleven whole numbers": ([i % 11 for i in range(120)], "regression", "numbers, 11 different ones"),
    "two numbers with a point": ([0.5, 1.5] * 60, "regression", "numbers, 2 different ones"),
    "text": (["a", "b"] * 60, "classification", "text"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_task_is_told_by_the_target_or_by_the_user(name: str, here: Path) -> None:
    values, task, why = TARGETS[name]
    write(here / "t.csv", {"x": table()["id"], "y": values})
    out = succeeds("train", "t.csv", "--target", "y", *QUICK)
    assert f"{task} of 'y': the target is {why}" in out
    other = "regression" if task == "classification" else "classification"
    cannot = {
        "text": "must hold numbers for --task regression, got text such as 'a'",
        "two numbers with a point": "must hold text or whole numbers for --task classification, got 0.5",
    }
    if name in cannot:
        error = fails("train", "t.csv", "--target", "y", "--task", other, *QUICK)
        assert error == f"numlp: t.csv: column 'y' {cannot[name]}" and "--task" not in out
        return
    assert f"; --task {other} takes it otherwise" in out
    assert f"{other} of 'y': as --task says" in succeeds("train", "t.csv", "--target", "y", "--task", other, *QUICK)


def test_rows_without_a_target_are_left_out_and_counted(here: Path) -> None:
    columns = table()
    columns["sold"][:5] = ["", "?", "", "?", ""]
    write(here / "t.csv", columns)
    flags = ("--target", "sold", "--drop", "price", "--missing", "?", *QUICK)
    assert "115 rows, 4 columns beside the target; 5 more without a target are left out" in succeeds(
        "train", "t.csv", *flags
    )
    out = succeeds("evaluate", "t.safetensors", "t.csv")
    assert "(115 rows, 5 more without a target left out)" in out


def test_predict_writes_the_classes_and_probabilities_of_the_estimator(models: dict[str, Path], here: Path) -> None:
    out = succeeds("predict", models["sold"], "t.csv", "--out", "p.csv", "--proba")
    assert out == "wrote 120 predictions to p.csv\n"
    rows = list(csv.reader((here / "p.csv").read_text().splitlines()))
    assert rows[0] == ["sold", "probability", "probability of no", "probability of yes"]
    columns = table()
    model = TabularClassifier.load(models["sold"])
    frame = pa.table({name: columns[name] for name in ("size", "kind", "code")})
    assert [row[0] for row in rows[1:]] == model.predict(frame).tolist()
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), model.predict_proba(frame), rtol=1e-8)
    lines = succeeds("predict", models["sold"], "t.csv", "--quiet").splitlines()
    assert [line.split("\t")[0] for line in lines] == [row[0] for row in rows[1:]]
    facts = json.loads(succeeds("predict", models["sold"], "t.csv", "--json"))
    assert facts["target"] == "sold" and facts["predictions"][0] == {
        "sold": rows[1][0],
        "probability": pytest.approx(float(rows[1][1]), rel=1e-8),
    }


def test_predict_takes_any_order_of_columns_and_parquet_for_csv(models: dict[str, Path], here: Path) -> None:
    columns = table()
    frame = pa.table({name: columns[name] for name in ("size", "kind", "code")})
    expected = TabularRegressor.load(models["price"]).predict(frame)
    write(here / "new.csv", {name: columns[name] for name in ("code", "kind", "size")})
    parquet.write_table(pa.table({name: columns[name] for name in ("kind", "id", "code", "size")}), here / "new.parquet")
    for path in ("new.csv", "new.parquet", "t.csv"):
        values = [float(line) for line in succeeds("predict", models["price"], path).splitlines()]
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert "--proba must come with a model of classes" in fails("predict", models["price"], "t.csv", "--proba")


def test_evaluate_agrees_with_the_estimator(models: dict[str, Path], here: Path) -> None:
    columns = table()
    frame = pa.table({name: columns[name] for name in ("size", "kind", "code")})
    facts = json.loads(succeeds("evaluate", models["price"], "t.csv", "--json"))
    assert facts["r2"] == pytest.approx(TabularRegressor.load(models["price"]).score(frame, columns["price"]))
    facts = json.loads(succeeds("evaluate", models["sold"], "t.csv", "--json"))
    assert facts["accuracy"] == pytest.approx(TabularClassifier.load(models["sold"]).score(frame, columns["sold"]))
    assert np.sum(facts["confusion_matrix"]) == facts["rows"] == 120 and facts["classes"] == ["no", "yes"]
    write(here / "new.csv", columns | {"sold": ["perhaps", *columns["sold"][1:]]})
    error = fails("evaluate", models["sold"], "new.csv")
    assert "new.csv: column 'sold' must hold the model's classes (no, yes), got 'perhaps'" in error


def changed(**new: Any) -> dict[str, list[Any]]:
    """Return the table with columns renamed (a name), left out (None) or added (a list)."""
    names = {name: new.get(name, name) for name in table(20)}
    columns = {new if isinstance(new, str) else name: table(20)[name] for name, new in names.items() if new is not None}
    return columns | {name: values for name, values in new.items() if isinstance(values, list)}


COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "renamed": ({"size": "Size"}, "got no 'size' and besides 'Size'; was 'size' renamed to 'Size'?"),
    "missing": ({"kind": None}, "got no 'kind'"),
    "extra": ({"colour": ["red"] * 20}, "got besides 'colour'; use --drop colour"),
}


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("name", COLUMNS)
def test_renamed_missing_and_extra_columns_are_named(name: str, command: str, models: dict[str, Path], here: Path) -> None:
    new, message = COLUMNS[name]
    write(here / "new.csv", changed(**new))
    error = fails(command, models["price"], "new.csv")
    assert error == f"numlp: new.csv: columns must be those of the model, {message}"
    if name == "extra":
        assert succeeds(command, models["price"], "new.csv", "--drop", "colour")


def test_categories_that_are_new_are_taken_as_gaps_and_said(models: dict[str, Path], here: Path) -> None:
    write(here / "new.csv", changed(kind=["castle", "castle", *table(20)["kind"][2:]]))
    result = numlp("predict", models["price"], "new.csv")
    said = (
        "column 'kind' has 2 cells with categories that training saw once or never, such as 'castle'; they count as missing"
    )
    assert result.exit_code == 0 and said in result.stderr


def test_text_where_the_model_has_numbers_is_named_by_line(models: dict[str, Path], here: Path) -> None:
    write(here / "new.csv", changed(size=["big"] * 20))
    error = fails("predict", models["price"], "new.csv")
    assert "new.csv line 2 column 'size': 'big' is not a number; use --missing big; 20 such cells in the file" in error


BAD: dict[str, tuple[list[str], str]] = {
    "no target": (["train", "t.csv"], "t.csv: --target must name the column to predict, one of (size, kind, code, id, price, sold), got none"),
    "unknown target": (["train", "t.csv", "--target", "Prize"], "got 'Prize'; did you mean 'price'?"),
    "unknown column": (["train", "t.csv", "--target", "price", "--drop", "idd"], "--drop must be one of the columns (size, kind, code, id, price, sold), got 'idd'; did you mean 'id'?"),
    "target dropped": (["train", "t.csv", "--target", "price", "--drop", "price"], "--drop must name columns beside the target, got 'price'"),
    "task": (["train", "t.csv", "--target", "price", "--task", "regresion"], "--task must be one of classification, regression, got 'regresion'; did you mean 'regression'?"),
    "effort": (["train", "t.csv", "--target", "price", "--effort", "bst"], "--effort must be one of best, default, fast, got 'bst'; did you mean 'best'?"),
    "test fraction": (["train", "t.csv", "--target", "price", "--test-fraction", "1"], "--test-fraction must be a number at least 0 and below 1, got 1.0"),
    "rate": (["train", "t.csv", "--target", "price", "--learning-rate", "0"], "--learning-rate must be a number above 0, got 0.0"),
    "epochs": (["train", "t.csv", "--target", "price", "--epochs", "0"], "--epochs must be a whole number of at least 1, got 0"),
    "one value": (["train", "one.csv", "--target", "y"], "one.csv: column 'y' must have at least 2 different values to be a target, got 1"),
    "names": (["train", "names.csv", "--target", "y"], "names.csv: column 'y' must have classes of 2 rows or more, got 20 different values in 20 rows"),
    "nothing besides": (["train", "one.csv", "--target", "y", "--drop", "x"], "file must have a column beside --target and --drop, got none"),
    "flag of images": (["train", "t.csv", "--target", "price", "--recipe", "tutorial"], "train: --recipe must come with a data set of images, got a table"),
    "flag of tables": (["train", "digits", "--target", "price"], "train: --target must come with a table"),
    "search": (["search", "t.csv"], "search: dataset must be one of images, got a table"),
    "other suffix": (["train", "t.txt", "--target", "x"], "t.txt: file must be a table, its name ending with .csv, .csv.gz, .parquet"),
    "out is the source": (["train", "t.csv", "--target", "price", "--out", "t.csv"], "t.csv: --out must be another file than the one that is read"),
    "predictions over the source": (["predict", "MODEL", "t.csv", "--out", "t.csv"], "t.csv: --out must be another file than the one that is read"),
    "predictions nowhere": (["predict", "MODEL", "t.csv", "--out", "no/p.csv"], "no such folder for --out"),
    "evaluate a data set": (["evaluate", "MODEL", "digits"], "evaluate: dataset must be a CSV or Parquet file for the model of a table, got 'digits'"),
    "evaluate without answers": (["evaluate", "MODEL", "no.csv"], "no.csv: --target must be one of the columns (size, kind, code), got 'sold'"),
    "missing of Parquet": (["train", "t.parquet", "--target", "y", "--missing", "?"], "t.parquet: file must be CSV text for --missing, got Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_one_message(name: str, models: dict[str, Path], here: Path) -> None:
    arguments, message = BAD[name]
    write(here / "one.csv", {"x": list(range(20)), "y": [5] * 20})
    write(here / "names.csv", {"x": list(range(20)), "y": [f"name {i}" for i in range(20)]})
    write(here / "no.csv", {name: table(20)[name] for name in ("size", "kind", "code")})
    (here / "t.txt").write_text("x\n1\n")
    parquet.write_table(pa.table({"x": [1, 2], "y": [1, 2]}), here / "t.parquet")
    before = sorted(here.iterdir())
    error = fails(
        *(models["sold"] if word == "MODEL" else word for word in arguments), status=4 if " nowhere" in name else 2
    )
    assert message in error and "\n" not in error
    assert sorted(here.iterdir()) == before and (here / "t.csv").read_text().startswith("size,")


def test_dates_are_said_learnt_from_and_checked(here: Path) -> None:
    days = [date(2026, 1, 1) + timedelta(days=k % 60) for k in range(120)]
    columns = {"day": days, "price": [day.weekday() + 0.5 for day in days]}
    stdout = succeeds(
        "train", write(here / "d.csv", columns), "--target", "price", *QUICK, "--epochs", 60, "--quiet", "--json"
    )
    found = json.loads(stdout)
    assert found["columns"] == [{"name": "day", "kind": "date", "different": 60, "missing": 0, "advice": ""}]
    assert found["test"]["r2"] > 0.5
    new = {"day": [date(2026, 3, 2), None, date(2026, 3, 8)]}
    from_csv = succeeds("predict", "d.safetensors", write(here / "new.csv", new))
    parquet.write_table(pa.table(new), here / "new.parquet")
    assert succeeds("predict", "d.safetensors", "new.parquet") == from_csv
    monday, gap, sunday = map(float, from_csv.split())
    assert monday < gap < sunday
    said = fails("predict", "d.safetensors", write(here / "bad.csv", {"day": ["2026-03-02", "Monday"]}))
    assert "bad.csv line 3 column 'day': 'Monday' is not a date such as 2026-11-29" in said
    said = fails("train", "d.csv", "--target", "day", *QUICK)
    assert said.endswith("column 'day' must hold numbers or text to be a target, got dates")


def test_index_in_a_parquet_file_is_left_out_and_said(here: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=60), "y": np.arange(60.0)}).sample(
        frac=1, random_state=0
    )
    frame.to_parquet("x.parquet")
    out = succeeds("train", "x.parquet", "--target", "y", *QUICK, "--drop", "__index_level_0__")
    assert "x.parquet: 60 rows, 1 columns beside the target\n" in out
    assert "left out: __index_level_0__, the index of a pandas frame\n" in out
    assert json.loads(succeeds("train", "x.parquet", "--target", "y", *QUICK, "--json"))["index"] == ["__index_level_0__"]
    frame.reset_index(drop=True).to_parquet("plain.parquet")
    assert succeeds("predict", "x.safetensors", "x.parquet") == succeeds("predict", "x.safetensors", "plain.parquet")
    assert succeeds("evaluate", "x.safetensors", "x.parquet") == succeeds("evaluate", "x.safetensors", "plain.parquet")
    frame.set_index("a").to_parquet("a.parquet")
    error = fails("predict", "x.safetensors", "a.parquet")
    assert error.endswith("got no 'a'; a is the index of a pandas frame: use reset_index()")
    frame.set_index("y").to_parquet("y.parquet")
    message = fails("train", "y.parquet", "--target", "y", *QUICK)
    assert (
        message
        == "numlp: y.parquet: --target must be one of the columns (a), got 'y', the index of a pandas frame; use reset_index()"
    )


def test_digits_of_large_numbers_are_kept_as_categories(here: Path) -> None:
    ids = [2**53 + i % 3 for i in range(60)]
    parquet.write_table(pa.table({"id": ids, "y": [float(i % 3) for i in range(60)]}), "big.parquet")
    assert " number " in succeeds("train", "big.parquet", "--target", "y", "--task", "regression", *QUICK)
    out = succeeds("train", "big.parquet", "--target", "y", "--task", "regression", "--categorical", "id", *QUICK)
    assert "id category 3 0" in " ".join(out.split())
    write(here / "big.csv", {"id": ids, "y": [float(i % 3) for i in range(60)]})
    assert succeeds("predict", "big.safetensors", "big.parquet") == succeeds("predict", "big.safetensors", "big.csv")


def test_missing_file_is_status_4(models: dict[str, Path], here: Path) -> None:
    assert fails("train", "no.csv", "--target", "x", status=4).startswith("numlp: no.csv: No such file or directory")
    assert fails("predict", models["sold"], "no.csv", status=4).startswith("numlp: no.csv: No such file or directory")


def test_ctrl_c_saves_what_was_learnt_and_says_so(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = table_model.fit

    def interrupted(*arguments: Any, **options: Any) -> Any:
        options["callbacks"] = [*options["callbacks"], Interrupt()]
        return fit(*arguments, **options)

    class Interrupt(nl.Callback):
        def on_epoch_begin(self, run: Any) -> None:
            if run.epoch == 2:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(table_model, "fit", interrupted)
    result = numlp("train", "t.csv", "--target", "sold", *QUICK)
    assert result.exit_code == 130 and result.stderr.endswith("numlp: interrupted; what was learnt is in t.safetensors\n")
    assert "accuracy" in succeeds("evaluate", "t.safetensors", "t.csv")


def test_columns_that_teach_nothing_are_pointed_out(here: Path) -> None:
    n = 60
    columns = {
        "x": list(range(2, n + 2)),
        "row": list(range(1, n + 1)),
        "down": list(range(n, 0, -1)),
        "all": [""] * n,
        "one": [7] * n,
        "name": [f"n{i}" for i in range(n)],
        "y": [0.5, 2.5] * (n // 2),
    }
    out = succeeds("train", write(here / "u.csv", columns), "--target", "y", *QUICK)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["one"].endswith("nothing can be learnt from it: --drop it") and lines["name"].endswith("--drop it")
    assert lines["row"].endswith("  counts the rows: --drop it")
    assert all(lines[name].endswith("  0") for name in ("x", "down"))  # a year may also rise by one in each row
    assert lines["all"].split()[1:] == ["category", "0", "60", *"nothing can be learnt from it: --drop it".split()]
    assert not lines["x"].endswith("it")


def test_of_many_columns_forty_are_listed_and_of_the_others_those_to_drop(here: Path) -> None:
    columns = {f"x{i}": np.random.default_rng(i).normal(size=60).tolist() for i in range(42)}
    columns |= {"one": [7.0] * 60, "y": [0.5, 2.5] * 30}
    wide = succeeds("train", write(here / "w.csv", columns), "--target", "y", *QUICK).splitlines()
    assert wide[2].startswith("column ") and wide[42].startswith("x39 ")
    assert wide[43] == "... and 3 more, of which to drop: one"
    plain = succeeds("train", "w.csv", "--target", "y", "--drop", "one", *QUICK).splitlines()
    assert plain[43] == "... and 2 more"


@pytest.mark.parametrize("notes", [{"target": 5}, {"drop": "x"}, {"missing": [1]}, []])
def test_notes_of_a_file_are_checked(notes: Any, models: dict[str, Path], here: Path) -> None:
    model = TabularClassifier.load(models["sold"])
    model.notes_ = notes or [1]
    model.save("lies.safetensors")
    assert "lies.safetensors: notes must be" in fails("predict", "lies.safetensors", "t.csv")


def columns_of(**columns: list[Any]) -> dict[str, list[Any]]:
    """Return columns of 60 cells from shorter lists, and a target of numbers."""
    return {name: (cells * 60)[:60] for name, cells in columns.items()} | {"y": [0.5, 2.5, 1.25] * 20}


def test_numbers_beside_few_words_are_named_with_the_option_for_gaps(here: Path) -> None:
    numbers = [f"{n}.5" for n in range(45)]
    columns = columns_of(a=[*numbers, *["soon"] * 15], b=[*numbers, *["#DIV/0!", "?", "#REF!"] * 5], c=["1", "2", "3+"])
    columns["d"] = [f"2024-01-{n % 28 + 1:02}" if n % 3 else "late" for n in range(60)]
    out = succeeds("train", write(here / "u.csv", columns), "--target", "y", *QUICK)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["a"].endswith("  numbers or dates beside 'soon': --missing soon, if that is a gap")
    assert "--missing '#DIV/0!' --missing '?' --missing '#REF!', if that" in lines["b"]
    assert lines["c"].endswith("0") and lines["d"].endswith(
        "  numbers or dates beside 'late': --missing late, if that is a gap"
    )
    error = fails("train", "u.csv", "--target", "a", *QUICK)
    assert error.endswith("46 different values in 60 rows; numbers or dates beside 'soon': --missing soon, if that is a gap")
    out = succeeds("train", "u.csv", "--target", "a", "--missing", "soon", *QUICK)
    assert "regression of 'a': the target is numbers" in out
    parquet.write_table(pa.table(columns), "v.parquet")
    assert "beside 'soon': write gaps as null, if that is a gap" in fails("train", "v.parquet", "--target", "a", *QUICK)


def test_readings_and_words_for_a_gap_are_listed_and_kept_with_the_model(here: Path) -> None:
    columns = columns_of(pay=["$1,850.00", "$222", "NA", "?"], share=["12%", "7%", "NA"], when=["31/12/2024", "1/2/2025"])
    columns["weight"] = [f"{n % 20}.5 kg" for n in range(60)]
    out = succeeds("train", write(here / "u.csv", columns), "--target", "y", *QUICK)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["pay"].endswith("  $1,850.00 read as 1850: currency, thousands; NA 15, ? 15")
    assert lines["share"].endswith("  12% read as 12: percent; NA 20")
    assert lines["when"].endswith("  dates are categories unless they are written as 2024-12-31")
    assert lines["weight"].endswith("  numbers with words beside them are categories: write the numbers alone")
    notes = TabularRegressor.load("u.safetensors").notes_
    assert (notes["decimal"], notes["thousands"], notes["units"]) == (".", ",", {"pay": "$", "share": "%"})
    assert notes["readings"]["share"] == "12% read as 12: percent" and notes["gaps"]["pay"] == {"NA": 15, "?": 15}
    facts = json.loads(numlp("train", "u.csv", "--target", "y", *QUICK, "--json").stdout)
    assert facts["columns"][0]["reading"] == "$1,850.00 read as 1850: currency, thousands"
    assert facts["columns"][1]["gaps"] == {"NA": 20} and "reading" not in facts["columns"][2]
    assert "number must have the unit" not in succeeds("predict", "u.safetensors", "u.csv")
    said = fails("predict", "u.safetensors", write(here / "v.csv", columns | {"share": [0.12] * 60}))
    assert "column 'share' must hold numbers in %, as the file that the model was trained on, got plain numbers" in said


def test_file_of_one_row_is_read_as_the_file_of_the_training(here: Path) -> None:
    (here / "u.csv").write_text("people;rent\n" + "".join(f"{n * 97:,};{n}.5\n" for n in range(1, 81)))
    succeeds("train", "u.csv", "--target", "rent", *QUICK)
    (here / "one.csv").write_text("people;rent\n4,850;\n")
    (here / "plain.csv").write_text("people,rent\n4850,\n")
    expected = succeeds("predict", "u.safetensors", "plain.csv")
    assert succeeds("predict", "u.safetensors", "one.csv") == expected
    assert succeeds("predict", "u.safetensors", "one.csv", "--decimal", ",") != expected
    (here / "one.csv").write_text("people;rent\n48,50;\n")
    assert "with ',' as thousands mark, got '48,50'; if it is right, use --decimal ," in fails(
        "predict", "u.safetensors", "one.csv"
    )


def test_target_with_thousands_is_asked_about_and_then_numbers(here: Path) -> None:
    (here / "u.csv").write_text("size;price\n" + "".join(f"{n};{n * 37:,}\n" for n in range(1, 81)))
    said = numlp("train", "u.csv", "--target", "price", *QUICK).stderr
    assert said.endswith("use --thousands , for 1036, or --decimal , for 1.036\n") and not Path("u.safetensors").exists()
    out = succeeds("train", "u.csv", "--target", "price", "--thousands", ",", *QUICK)
    assert (
        "regression of 'price': the target is numbers, 80 different ones" in out and "1,036 read as 1036: thousands" in out
    )
    assert "R2" in succeeds("evaluate", "u.safetensors", "u.csv")
    for flags, message in (
        (["--decimal", ";"], "--decimal must be one of '.', ',', got ';'"),
        (["--decimal", ",", "--thousands", ","], "--thousands must be another mark than --decimal"),
    ):
        assert message in fails("train", "u.csv", "--target", "price", *flags)


TRUTHS: dict[str, list[Any]] = {
    "CSV true": ["true", "false"], "CSV True": ["True", "False"], "CSV 1": [1, 0], "CSV 1.0": ["1.0", "0.0"],
    "Parquet bool": [True, False], "Parquet int": [1, 0], "Parquet float": [1.0, 0.0], "Parquet text": ["TRUE", "FALSE"],
}  # fmt: skip


def test_truth_values_of_columns_and_target_are_the_same_in_every_file(here: Path) -> None:
    x, files = table()["size"], {}
    for name, (true, false) in TRUTHS.items():
        cells = [true if i % 3 else false for i in range(120)]
        columns = {"x": x, "sale": cells, "sold": cells}
        path = here / (name.replace(" ", "_") + (".csv" if name.startswith("CSV") else ".parquet"))
        files[name] = write(path, columns) if path.suffix == ".csv" else path
        if path.suffix == ".parquet":
            parquet.write_table(pa.table(columns), path)
    for name in ("CSV True", "CSV 1", "Parquet bool", "Parquet float"):
        model = here / f"{name}.safetensors"
        task = ("--task", "classification") if name == "Parquet float" else ()
        succeeds("train", files[name], "--target", "sold", *task, *QUICK, "--quiet", "--out", model)
        figures = [succeeds("evaluate", model, files[other], "--json") for other in TRUTHS]
        assert len(set(figures)) == 1, (name, figures)


def test_predictions_have_columns_of_their_own_whatever_the_target_is_called(here: Path) -> None:
    for target, names in (
        ("probability", ["probability", "probability (2)", "probability of no", "probability of yes"]),
        ("probability of yes", ["probability of yes", "probability", "probability of no", "probability of yes (2)"]),
    ):
        write(here / "u.csv", {"x": table()["price"], target: table()["sold"]})
        succeeds("train", "u.csv", "--target", target, *QUICK, "--out", "m.safetensors")
        succeeds("predict", "m.safetensors", "u.csv", "--proba", "--out", "p.csv")
        rows = list(csv.reader((here / "p.csv").read_text().splitlines()))
        assert rows[0] == names and {row[0] for row in rows[1:]} <= {"yes", "no"}
        facts = json.loads(succeeds("predict", "m.safetensors", "u.csv", "--json"))
        assert list(facts["predictions"][0]) == names[:2]


def test_model_is_named_after_the_file_and_replaced_only_by_one_of_the_same_data(here: Path) -> None:
    flags, columns = ("--target", "y", *QUICK), columns_of(x=[1, 2, 3, 4, 5])
    for name in ("sales.2023.csv", "sales.2024.csv", "v1.CSV"):
        assert f"saved {name[:-4]}.safetensors after" in succeeds("train", write(here / name, columns), *flags)
    said = succeeds("train", "sales.2023.csv", *flags)
    assert "; it replaced a model of sales.2023.csv with test R2 " in said
    parquet.write_table(pa.table(columns), here / "sales.2023.parquet")
    model = (here / "sales.2023.safetensors").read_bytes()
    for out in ((), ("--out", "sales.2023.safetensors")):
        error = fails("train", "sales.2023.parquet", *flags, *out)
        expected = "must be of sales.2023.parquet to be replaced, got one of sales.2023.csv; give another --out, or --force"
        assert error.endswith(expected)
    assert (here / "sales.2023.safetensors").read_bytes() == model
    assert "it replaced a model of sales.2023.csv" in succeeds("train", "sales.2023.parquet", *flags, "--force")
    again = succeeds("train", "sales.2024.csv", *flags, "--out", "sales.2024.safetensors")
    assert "it replaced a model of sales.2024.csv" in again
    error = fails("train", "sales.2024.csv", *flags, "--out", "v1.CSV")
    assert error.endswith("file must be a model to be replaced by one, got another file; give another --out, or --force")


def test_word_of_missing_that_no_cell_is_is_said(here: Path) -> None:
    write(here / "u.csv", columns_of(x=[1, " soon", 3], z=["?", "red"]))
    result = numlp("train", "u.csv", "--target", "y", "--missing", "soon", "--missing", "later", *QUICK)
    assert result.stderr.count("warning") == 1 and "no cell is 'later', which --missing says is a gap" in result.stderr
    assert [line.split()[1:] for line in result.stdout.splitlines()[3:5]] == [
        ["number", "2", "20", "soon", "20"], ["category", "2", "0"],
    ]  # fmt: skip


def test_target_of_few_rows_all_different_says_what_to_do(here: Path) -> None:
    write(here / "u.csv", {"x": [1, 2, 3, 1, 2, 3, 1, 2], "y": [1000 * i + 7 for i in range(8)]})
    assert fails("train", "u.csv", "--target", "y", *QUICK).endswith("8 different values in 8 rows; use --task regression")
    assert "saved u.safetensors" in succeeds("train", "u.csv", "--target", "y", "--task", "regression", *QUICK)


def test_of_many_classes_only_the_worst_confusions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    counts = np.diag(np.full(300, 5))
    counts[3, 4], counts[7, 2] = 2, 9
    print_confusion([f"k{i}" for i in range(300)], counts)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "300 classes; the most frequent of 11 confusions (--json has the whole matrix):",
        "     9  k7 taken for k2", "     2  k3 taken for k4",
    ]  # fmt: skip
    print_confusion(["a", "b"], counts[:2, :2])
    assert len(capsys.readouterr().out.splitlines()) == 4
