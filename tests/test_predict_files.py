"""`numlp predict` and `evaluate` on files: units of the training rows, several files, what is no data at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import numlp as nl
from numlp.cli import app
from numlp.data.inputs import Inputs, describe_inputs

pytestmark = pytest.mark.filterwarnings("ignore:fit. x ranges from")

SIDE = 12
N = SIDE * SIDE


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def bars(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Return n pictures of bytes, white ink on black, and 0 for a lying bar, 1 for a standing one."""
    rng = np.random.default_rng(seed)
    x, y = np.zeros((n, SIDE, SIDE), np.uint8), rng.integers(0, 2, n)
    for picture, label in zip(x, y, strict=True):
        picture[4:8, 2:10] = rng.integers(200, 256)
        if label:
            picture[...] = picture.T
    return x, y


UNITS = {
    "[0, 1]": lambda x: x / np.float32(255),
    "0..255": lambda x: x.astype(np.float32),
    "[-1, 1]": lambda x: x / np.float32(127.5) - 1,
    "mean and spread": lambda x: (x / np.float32(255) - np.float32(0.13)) / np.float32(0.31),
    "black on white": lambda x: 1 - x / np.float32(255),
}


def trained(folder: Path, unit: str, first: str = "Dense") -> Path:
    """Train on bars in some units, and return the model file."""
    x, y = bars(200)
    rows = UNITS[unit](x.reshape(-1, N)) if unit != "bytes" else x.reshape(-1, N)
    layers = {"Dense": [], "Pixels": [nl.Pixels(N)], "Standardize": [nl.Standardize(N).fit(rows)]}[first]
    net = nl.Network([*layers, nl.Dense(N, 8, "tanh"), nl.Dense(8, 2)], rng=0)
    nl.fit(net, (rows, y), epochs=20, optimizer=nl.Adam(0.003 if rows.max() > 1 else 0.02), progress=False)
    assert nl.evaluate(net, (rows, y))["accuracy"] == 1
    nl.save(net, folder / "m.safetensors")
    return folder / "m.safetensors"


def labels(model: Path, *files: Path) -> list[list[int]]:
    result = run("predict", model, *files, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    return [[row["label"] for row in one["predictions"]] for one in found.get("files", [found])]


MODELS = [(unit, "Dense") for unit in UNITS] + [("0..255", "Standardize"), ("[0, 1]", "Pixels"), ("bytes", "Pixels")]
MODELS += [("[0, 1]", "Standardize")]


@pytest.mark.parametrize(("unit", "first"), MODELS)
def test_pictures_and_numbers_come_in_the_units_of_training(tmp_path: Path, unit: str, first: str) -> None:
    model = trained(tmp_path, unit, first)
    x, y = bars(20, seed=1)
    for i in (0, 1):
        Image.fromarray(x[np.flatnonzero(y == i)[0]]).resize((96, 96)).save(tmp_path / f"{i}.png")
    assert labels(model, tmp_path / "0.png", tmp_path / "1.png") == [[0], [1]]
    if unit == "black on white":  # numbers say nothing about their paper
        return
    kinds = {"bytes": x, "int16": x.astype(np.int16), "float32": x.astype(np.float32), "float64": x.astype(float)}
    kinds |= {"int32": x.astype(np.int32), "[0, 1]": (x / 255).astype(np.float32)}
    if unit not in ("bytes", "0..255"):
        kinds["own"] = UNITS[unit](x)
    for name, numbers in kinds.items():
        nl.write_idx(tmp_path / "rows.idx", numbers)
        np.savetxt(tmp_path / "rows.csv", numbers.reshape(-1, N), fmt="%.6g", delimiter=",")
        for file in ("rows.idx", "rows.csv"):
            assert labels(model, tmp_path / file) == [y.tolist()], (name, file)


@pytest.mark.parametrize("saved", ["model", "checkpoint", "pickle"])
def test_range_of_training_rows_comes_back(tmp_path: Path, saved: str) -> None:
    import pickle

    x, y = bars(40)
    net = nl.Network([nl.Dense(N, 2)], rng=0)
    nl.fit(net, (x.reshape(-1, N), y), epochs=1, callbacks=[nl.Checkpointer(tmp_path)], progress=False)
    expected = Inputs(0.0, float(x.max()), 0.0, 8, True)
    nl.save(net, tmp_path / "m.safetensors")
    back = {
        "model": lambda: nl.load(tmp_path / "m.safetensors"),
        "checkpoint": lambda: nl.load(max(tmp_path.glob("checkpoint-*"))),
        "pickle": lambda: pickle.loads(pickle.dumps(net)),
    }[saved]()
    assert net.inputs == back.inputs == expected


def test_model_without_a_range_is_told_by_its_standardize(tmp_path: Path) -> None:
    model = trained(tmp_path, "0..255", "Standardize")
    net = nl.load(model)
    net.inputs = None
    nl.save(net, model)
    x, y = bars(6, seed=3)
    nl.write_idx(tmp_path / "rows.idx", x)
    assert labels(model, tmp_path / "rows.idx") == [y.tolist()]


@pytest.mark.parametrize(
    ("numbers", "found"),
    [(np.int8([-128, 127]), "-128 to 127"), (np.float32([0, 300]), "0 to 300"), (np.int16([-1, 255]), "-1 to 255")],
)
def test_idx_that_is_in_no_units_of_pixels_is_refused(tmp_path: Path, numbers: Any, found: str) -> None:
    model = trained(tmp_path, "[0, 1]", "Pixels")
    nl.write_idx(tmp_path / "rows.idx", np.resize(numbers, (3, SIDE, SIDE)))
    result = run("predict", model, tmp_path / "rows.idx")
    assert result.exit_code == 2
    assert result.stderr == (f"numlp: {tmp_path}/rows.idx: pixels must be in [0, 1] or 0..255, got numbers from {found}\n")


@pytest.mark.parametrize("first", ["Dense", "Pixels"])
def test_bytes_of_zeros_and_ones_are_pixels_too(tmp_path: Path, first: str) -> None:
    model = trained(tmp_path, "bytes" if first == "Pixels" else "[0, 1]", first)
    x, y = bars(20, seed=1)
    nl.write_idx(tmp_path / "rows.idx", (x > 127).astype(np.uint8))
    assert labels(model, tmp_path / "rows.idx") == [y.tolist()]


@pytest.mark.parametrize(("unit", "wrong"), [("[0, 1]", "light"), ("[-1, 1]", "light"), ("black on white", "dark")])
@pytest.mark.parametrize("kind", ["csv", "idx"])
@pytest.mark.filterwarnings("always:.*background should be")
def test_rows_of_the_other_background_give_a_warning(tmp_path: Path, unit: str, wrong: str, kind: str) -> None:
    model = trained(tmp_path, unit)
    x, _ = bars(20, seed=1)
    for rows, is_wrong in ((x, unit == "black on white"), (255 - x, unit != "black on white")):
        np.savetxt(tmp_path / "rows.csv", rows.reshape(-1, N), fmt="%d", delimiter=",")
        nl.write_idx(tmp_path / "rows.idx", rows)
        result = run("predict", model, tmp_path / f"rows.{kind}")
        assert (f"as in training, got a {wrong} one; turn 0 into 255" in result.stderr) == is_wrong


@pytest.mark.parametrize("rows", [lambda x: x / 127.5 - 1, lambda x: x * 0.99])
@pytest.mark.filterwarnings("always:.*rows should be")
def test_csv_far_beyond_the_range_of_training_gives_a_warning(tmp_path: Path, rows: Any) -> None:
    model = trained(tmp_path, "[0, 1]")
    np.savetxt(tmp_path / "rows.csv", rows(bars(5)[0].reshape(-1, N)), delimiter=",")
    assert "rows should be in the units of training, 0 to 1, got " in run("predict", model, tmp_path / "rows.csv").stderr


def test_model_of_no_pixels_refuses_a_picture(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 50, (40, N))
    net = nl.Network([nl.Dense(N, 2)], rng=0)
    nl.fit(net, (x, np.arange(40) % 2), epochs=1, progress=False)
    nl.save(net, tmp_path / "m.safetensors")
    Image.fromarray(bars(1)[0][0]).save(tmp_path / "a.png")
    result = run("predict", tmp_path / "m.safetensors", tmp_path / "a.png")
    assert result.exit_code == 2 and "model must be trained on pixels in [0, 1] or 0..255, got one trained" in result.stderr


def test_rows_of_other_numbers_are_left_alone(tmp_path: Path) -> None:
    """A table of 64 columns in [0, 1] may go beyond 1; so may one that is no square."""
    for n in (64, 7):
        x = np.random.default_rng(0).random((50, n))
        net = nl.Network([nl.Dense(n, 2)], rng=0, loss=nl.SoftmaxCrossEntropy())
        nl.fit(net, (x, np.arange(50) % 2), epochs=1, progress=False)
        nl.save(net, tmp_path / "m.safetensors")
        rows = x[:5] * 1.5
        np.savetxt(tmp_path / "rows.csv", rows, delimiter=",")
        assert labels(tmp_path / "m.safetensors", tmp_path / "rows.csv") == [net.predict(rows).tolist()]


def triangle(right: int) -> Any:
    """Return a row of 784 pixels with a triangle whose mass, not its box, is near the middle."""
    picture = np.zeros((28, 28))
    for i in range(20):
        picture[1 + i, 7 + right : 8 + i + right] = 1
    return picture.ravel()


def test_describe_inputs_finds_range_paper_and_layout() -> None:
    x = np.zeros((30, 28, 28), np.uint8)
    x[:, 4:24, 11:17] = 255
    rows = x.reshape(30, -1)
    assert describe_inputs(rows, 255) == Inputs(0, 1, 0, 20, True)
    assert describe_inputs(255 - rows) == Inputs(0, 255, 255, 20, True)
    filled = np.zeros((30, 28, 28))
    filled[:, :, 3:12] = 0.5
    assert describe_inputs(filled.reshape(30, -1)) == Inputs(0, 0.5, 0, 28, False)
    assert describe_inputs(np.stack([triangle(2), triangle(-1), triangle(0)])) == Inputs(0, 1, 0, 20, True)
    assert describe_inputs(np.zeros((3, 784))) == Inputs(0, 0, 0)
    assert describe_inputs(np.array([[1.0, -2.0, 3.0]])) == Inputs(-2, 3, -2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return trained(tmp_path, "[0, 1]", "Pixels")


def test_predict_takes_any_number_of_files(model: Path, tmp_path: Path) -> None:
    x, y = bars(4, seed=2)
    for i, picture in enumerate(x):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    nl.write_idx(tmp_path / "rows.idx", x)
    names = [tmp_path / f"{i}.png" for i in range(4)] + [tmp_path / "rows.idx"]
    result = run("predict", model, *names)
    lines = result.stdout.splitlines()
    assert lines[0] == "file\tclass\tprobability" and len(lines) == 9 and result.exit_code == 0
    expected = [[str(name), str(label)] for name, label in zip(names, y, strict=False)] + [
        [str(names[4]), str(label)] for label in y
    ]
    assert [line.split("\t")[:2] for line in lines[1:]] == expected
    assert "file" not in run("predict", model, *names[:2], "--quiet").stdout.split("\t")


def test_predict_goes_on_after_a_file_it_cannot_read(model: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(bars(1)[0][0]).save(good)
    (tmp_path / "bad.png").write_text("hello")
    result = run("predict", model, tmp_path / "bad.png", good, tmp_path / "no.png", "--json")
    assert result.exit_code == 2
    first, second, third = json.loads(result.stdout)["files"]
    assert "got text" in first["error"] and len(second["predictions"]) == 1 and "No such file" in third["error"]
    assert f"numlp: {first['error']}\n" in result.stderr


FOREIGN = {
    "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "got HEIC; save or export it as PNG or JPEG"),
    "photo.avif": (b"\0\0\0\x18ftypavif\0\0\0\0", "got AVIF; save or export it as PNG or JPEG"),
    "page.pdf": (b"%PDF-1.7\n", "got PDF; save or export it as PNG or JPEG"),
    "a.svg": (b"<?xml version='1.0'?><svg xmlns='x'/>", "got SVG; save or export it as PNG or JPEG"),
    "rows.npy": (b"\x93NUMPY\x01\0", "got NPY; write the rows with numlp.write_idx or numpy.savetxt"),
    "rows.npz": (b"PK\x03\x04", "got zip; unpack it, or write the rows as CSV or IDX"),
    "empty.png": (b"", "got an empty file; save or copy it again"),
    "empty.csv": (b"", "got an empty file; save or copy it again"),
    "text.jpg": (b"hello", "got text; save or export it as PNG or JPEG"),
    "t.parquet": (b"PAR1", "got Parquet; the model of a table reads it; write the rows as CSV or IDX"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds_are_named_with_what_to_do(model: Path, tmp_path: Path, name: str) -> None:
    content, text = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    result = run("predict", model, tmp_path / name)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert (
        f"numlp: {tmp_path / name}: file must be a picture (PNG, JPEG, GIF, BMP, TIFF, WebP), CSV or IDX, {text}"
        in result.stderr
    )


def test_folder_is_named_with_what_to_do(model: Path, tmp_path: Path) -> None:
    result = run("predict", model, tmp_path)
    assert result.exit_code == 2 and "got a folder; name the files in it" in result.stderr


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_swapped_arguments_are_told_apart(model: Path, tmp_path: Path, command: str) -> None:
    Image.fromarray(bars(1)[0][0]).save(tmp_path / "five.png")
    (tmp_path / "rows.csv").write_text("1,2\n")
    for name, what in (("five.png", "a PNG picture"), ("rows.csv", "text")):
        result = run(command, tmp_path / name, model)
        assert result.exit_code == 2
        assert f"{name}: file must be a model, got {what}; the model comes first: numlp {command} MODEL" in result.stderr


def test_evaluate_compares_the_shapes_of_model_and_data(model: Path) -> None:
    result = run("evaluate", model, "digits")
    assert result.exit_code == 2 and "digits must have what the model takes, 12x12, got 8x8" in result.stderr


def test_text_in_gzip_is_read_as_csv(model: Path, tmp_path: Path) -> None:
    import gzip

    x, y = bars(3, seed=5)
    np.savetxt(tmp_path / "rows.csv", x.reshape(-1, N), fmt="%d", delimiter=",")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    assert labels(model, tmp_path / "rows.csv.gz") == [y.tolist()]
