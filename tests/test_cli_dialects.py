"""The commands read CSV files however they are written, say what is not ordinary, and take it from options."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import numlp as nl
from numlp.cli import app

pytest.importorskip("pyarrow")

QUICK = ("--effort", "fast", "--epochs", "2", "--hidden", "8")
NAMES = ["größe", "ort", "preis"]
ROWS = [[f"{k % 7 + 0.25:g}", ("Köln", "Bonn", "Trier, alt")[k % 3], f"{k % 7 * 2 + 0.5:g}"] for k in range(60)]


def numlp(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments])


def succeeds(*arguments: Any) -> Result:
    result = numlp(*arguments)
    assert result.exit_code == 0, result.output
    return result


def fails(*arguments: Any) -> str:
    result = numlp(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr.strip()


def text_of(rows: list[list[str]], delimiter: str = ",", decimal: str = ".") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(
        [cell.replace(".", decimal) if cell[0].isdigit() else cell for cell in row] for row in rows
    )
    return text.getvalue()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_model_of_one_dialect_reads_files_of_others(here: Path) -> None:
    (here / "a.csv").write_bytes(("sep=;\r\n" + text_of([NAMES, *ROWS], ";", ",")).encode("utf-16"))
    out = succeeds("train", "a.csv", "--target", "preis", *QUICK).stdout
    assert out.startswith("a.csv: separated by ';', UTF-16\na.csv: 60 rows, 2 columns beside the target\n")
    (here / "b.csv").write_bytes(("Bericht\n" + text_of([NAMES, *ROWS], "\t")).encode("cp1252"))
    (here / "c.csv").write_bytes(text_of([NAMES, *ROWS]).encode())
    said = {
        "a.csv": "separated by ';', UTF-16",
        "b.csv": "separated by tabs, CP1252, 1 line before the column names left out",
    }
    predictions = []
    for name in ("a.csv", "b.csv", "c.csv"):
        result = succeeds("predict", "a.safetensors", name, *(["--encoding", "cp1252"] if name == "b.csv" else []))
        assert result.stderr == (f"{name}: {said[name]}\n" if name in said else "")
        predictions.append(result.stdout)
    assert len(set(predictions)) == 1
    assert "use --encoding cp1252" in fails("evaluate", "a.safetensors", "b.csv")
    result = succeeds("evaluate", "a.safetensors", "b.csv", "--encoding", "cp1252", "--quiet", "--delimiter", "tab")
    assert result.stderr == ""


def test_columns_of_a_table_without_names_are_named_by_number(here: Path) -> None:
    (here / "a.csv").write_text(text_of(ROWS), encoding="utf-8")
    where = "numlp: a.csv, without a line of column names"
    assert fails("train", "a.csv", "--target", "preis", "--quiet", *QUICK) == (
        f"{where}: --target must be one of the columns (1, 2, 3), got 'preis'"
    )
    out = succeeds("train", "a.csv", "--target", "3", *QUICK).stdout
    assert out.startswith("a.csv: no line of column names: they are 1, 2, ...\na.csv: 60 rows, 2 columns beside the target")
    (here / "b.csv").write_text(text_of([NAMES, *ROWS]), encoding="utf-8")
    assert "columns must be those of the model, got no '1', '2'" in fails("predict", "a.safetensors", "b.csv")
    succeeds("predict", "a.safetensors", "b.csv", "--no-header", "--skip-rows", "1")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A model of digits, and rows of a label and 64 pixels."""
    path = tmp_path_factory.mktemp("digits") / "d.safetensors"
    nl.save(nl.Network([nl.Dense(64, 10)], loss=nl.SoftmaxCrossEntropy(), rng=0), path)
    test = nl.load_digits().test
    return path, np.column_stack([test.y, test.x])[:20].astype(str).tolist()


def test_rows_of_numbers_may_have_any_dialect_and_a_column_too_many(here: Path, digits: Any) -> None:
    model, rows = digits
    (here / "a.csv").write_text(text_of(rows))
    (here / "plain.csv").write_text(text_of([row[1:] for row in rows]))
    (here / "b.csv").write_bytes(text_of([["label", *(f"p{k}" for k in range(64))], *rows], "\t").encode("utf-16"))
    plain = succeeds("predict", model, "plain.csv").stdout
    error = fails("predict", model, "a.csv")
    assert (
        error
        == "numlp: a.csv: rows must have 64 columns, got 65 (1, 2, 3, 4, 5, ...); leave out what is no input, such as by --drop 1"
    )
    assert "such as by --drop label" in fails("predict", model, "b.csv")
    assert succeeds("predict", model, "a.csv", "--drop", "1").stdout == plain
    result = succeeds("predict", model, "b.csv", "--drop", "label")
    assert result.stdout == plain and "separated by tabs, UTF-16" in result.stderr
    figures = {
        succeeds("evaluate", model, name, "--target", target, "--json").stdout
        for name, target in (("a.csv", "1"), ("b.csv", "label"))
    }
    assert len(figures) == 1
    error = fails("evaluate", model, "a.csv", "--target", "label")
    assert (
        error
        == "numlp: a.csv: target must be one of the columns (1 to 65: the file has no line of names, so columns are named by their number), got 'label'"
    )


@pytest.mark.parametrize("first", ["", "?", "n/a", "1 000", "0x10"])
def test_bad_cell_in_the_first_row_is_an_error_of_that_row(first: str, here: Path, digits: Any) -> None:
    model, rows = digits
    for place in (1, 30, 64):
        changed = [list(row) for row in rows]
        changed[0][place] = first
        (here / "a.csv").write_text(",".join(changed[0][1:]) + "\n" + text_of([row[1:] for row in changed[1:]]))
        assert "a.csv line 1" in fails("predict", model, "a.csv")


def test_options_of_csv_files_are_refused_where_there_is_none(here: Path, digits: Any) -> None:
    model, _ = digits
    assert "--delimiter must come with a CSV file" in fails("evaluate", model, "digits", "--delimiter", ";")
    assert "train: --encoding must come with a table" in fails("train", "digits", "--encoding", "cp1252")
    nl.write_idx(here / "x.idx", np.zeros((2, 64), np.uint8))
    assert "x.idx: file must be CSV for --skip-rows, got IDX" in fails("predict", model, "x.idx", "--skip-rows", "1")
