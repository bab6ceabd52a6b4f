"""The commands as a user runs them: their output and exit status; in real processes where signals or terminals matter."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import numlp as nl
from commands import ENVIRONMENT, numlp, numlp_process
from numlp.cli.app import DATASETS
from numlp.recipes import RECIPES, build_network


def succeeds(*arguments: Any, cwd: Path, **variables: str) -> str:
    process = numlp(*arguments, cwd=cwd, **variables)
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr
    return process.stdout


def fails(status: int, *arguments: Any, cwd: Path, **variables: str) -> str:
    process = numlp(*arguments, cwd=cwd, **variables)
    assert (process.returncode, process.stdout) == (status, ""), process.stderr
    assert "Traceback" not in process.stderr
    return process.stderr.strip()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    succeeds("train", "digits", "--quiet", cwd=folder)
    return folder / "digits.safetensors"


def test_train_digits_reports_and_saves(tmp_path: Path) -> None:
    out = succeeds("train", "digits", cwd=tmp_path)
    assert out.startswith(
        "digits: 1,257 training, 180 validation and 360 test rows of 8x8 pixels, 10 classes\nNetwork(64 -> 10,"
    )
    assert "epoch  30/30  loss 0." in out and "validation loss 0." in out
    last = out.splitlines()[-2].split()
    assert last[:2] == ["test", "loss"] and float(last[4].rstrip("%")) > 95
    assert out.splitlines()[-1].startswith("saved digits.safetensors after ")
    net = nl.load(tmp_path / "digits.safetensors")
    assert net.class_names == tuple("0123456789")
    assert nl.evaluate(net, nl.load_digits().test) == pytest.approx(net.metrics["test"], rel=1e-4)


def test_json_is_exactly_one_object_on_stdout(tmp_path: Path) -> None:
    process = numlp("train", "digits", "--json", "--epochs", 2, "--out", "m.safetensors", cwd=tmp_path)
    facts = json.loads(process.stdout)
    assert process.stdout.count("\n") == 1
    assert facts["model"] == "m.safetensors" and facts["epochs"] == 2 and facts["seconds"] > 0
    assert facts["parameters"] == nl.load(tmp_path / "m.safetensors").params.size
    assert set(facts["test"]) == {"loss", "accuracy"} and set(facts["validation"]) == {"loss", "accuracy"}
    assert "epoch   1/2" in process.stderr


def test_quiet_prints_the_result_only(tmp_path: Path) -> None:
    process = numlp("train", "digits", "--quiet", "--epochs", 1, cwd=tmp_path)
    assert [line.split()[0] for line in process.stdout.splitlines()] == ["test", "saved"]
    assert process.stderr == ""


def test_model_of_digits_replaces_one_of_digits_and_says_so(tmp_path: Path) -> None:
    standing, quick = tmp_path / "digits.safetensors", ("--epochs", 1, "--quiet")
    succeeds("train", "digits", *quick, cwd=tmp_path)
    accuracy = nl.load(standing).metrics["test"]["accuracy"]
    for command in (("train", "digits"), ("search", "digits", "--hidden", 4)):
        said = succeeds(*command, *quick, cwd=tmp_path).splitlines()[-1]
        assert f"; it replaced a model of digits with test accuracy {accuracy:.2%}" in said
        accuracy = nl.load(standing).metrics["test"]["accuracy"]
    network = nl.load(standing)
    for extra, name in (({}, "data without a name"), ({"data": "kmnist"}, "kmnist")):
        network.extra = extra
        nl.save(network, standing)
        before = standing.read_bytes()
        for command in (("train", "digits"), ("search", "digits", "--hidden", 4), ("train", "digits", "--out", standing)):
            error = fails(2, *command, *quick, cwd=tmp_path)
            assert error.endswith(f"must be of digits to be replaced, got one of {name}; give another --out, or --force")
        assert standing.read_bytes() == before
    assert "it replaced a model of kmnist" in succeeds("train", "digits", *quick, "--force", cwd=tmp_path)


def test_same_command_gives_the_same_model(tmp_path: Path) -> None:
    command = ("train", "digits", "--epochs", 3, "--quiet", "--out")
    for name in ("a", "b"):
        process = numlp_process(*command, name, cwd=tmp_path, PYTHONHASHSEED=str(ord(name)))
        assert process.returncode == 0, process.stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    succeeds("train", "digits", "--epochs", 3, "--quiet", "--out", "c", "--seed", 1, cwd=tmp_path)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_flags_change_the_recipe(tmp_path: Path) -> None:
    flags = "--hidden 20,12 --activation tanh --dropout 0.1 --batch-norm --optimizer sgd --learning-rate 0.2 --epochs 4"
    more = "--batch-size full --dtype float64 --seed 3 --patience 2 --quiet"
    succeeds("train", "digits", *flags.split(), *more.split(), cwd=tmp_path)
    net = nl.load(tmp_path / "digits.safetensors")
    assert [str(layer) for layer in net.layers] == [
        *("Pixels(64)", "Dense(64 -> 20)", "BatchNorm(20)", "Activation(20, tanh)", "Dropout(20, 0.1)"),
        *("Dense(20 -> 12)", "BatchNorm(12)", "Activation(12, tanh)", "Dropout(12, 0.1)", "Dense(12 -> 10)"),
    ]
    assert net.dtype == np.float64


def test_recipe_tutorial_searches_the_widths_and_trains_the_best_on_both(tmp_path: Path) -> None:
    out = succeeds("train", "digits", "--recipe", "tutorial", cwd=tmp_path)
    lines = out.splitlines()
    assert lines[1] == "learning rate 0.0003 on the loss summed over 1,257 rows, which is 0.3771 on its mean"
    assert [line.split()[0] for line in lines[2:6]] == ["hidden", "100", "200", "300"]
    assert "<- best" in out and "new weights on train + validation for 200 epochs" in out
    net = nl.load(tmp_path / "digits.safetensors")
    assert len(net.layers) == 3 and net.metrics["test"]["accuracy"] > 0.94


def test_search_reports_every_setting(tmp_path: Path) -> None:
    flags = "--hidden 4 --hidden 30,20 --learning-rate 0.01 --learning-rate 0.001 --epochs 5 --json"
    facts = json.loads(succeeds("search", "digits", *flags.split(), cwd=tmp_path))
    assert [(trial["hidden"], trial["learning_rate"]) for trial in facts["trials"]] == [
        ([4], 0.01), ([4], 0.001), ([30, 20], 0.01), ([30, 20], 0.001)
    ]  # fmt: skip
    assert facts["best"] == {"hidden": [30, 20], "learning_rate": 0.01}
    assert nl.load(tmp_path / "digits.safetensors").layers[1].n_out == 30


def test_evaluate_prints_loss_accuracy_and_confusion(model: Path, tmp_path: Path) -> None:
    out = succeeds("evaluate", model, "digits", cwd=tmp_path)
    assert out.startswith("loss 0.") and "accuracy 9" in out
    table = np.array([line.split()[1:] for line in out.splitlines()[3:]], int)
    assert table.shape == (10, 10) and table.sum() == 360
    facts = json.loads(succeeds("evaluate", model, "digits", "--json", cwd=tmp_path))
    assert facts["confusion_matrix"] == table.tolist() and facts["rows"] == 360
    assert facts["accuracy"] == pytest.approx(np.trace(table) / 360)
    data = nl.load_digits().test
    assert facts["wrong"] == np.flatnonzero(nl.load(model).predict(data.x) != data.y).tolist() != []
    assert f"wrong, counted from 0: {facts['wrong'][0]}" in out.splitlines()[0]


def write_csv(path: Path, rows: Any, header: list[str] | None = None) -> Path:
    lines = [",".join(f"{value:g}" for value in row) for row in rows]
    path.write_text("\n".join([",".join(header), *lines] if header else lines) + "\n")
    return path


@pytest.mark.parametrize("scale", [1, 255])
def test_predict_takes_csv_rows_of_pixels(model: Path, tmp_path: Path, scale: int) -> None:
    data, net = nl.load_digits(), nl.load(model)
    path = write_csv(tmp_path / "rows.csv", data.test.x[:7] * scale)
    process = numlp("predict", model, path, cwd=tmp_path)
    assert [line.split("\t")[0] for line in process.stdout.splitlines()] == [str(k) for k in net.predict(data.test.x[:7])]
    assert ("assumed pixels 0..255" in process.stderr) == (scale == 255)


def test_predict_takes_idx_files(model: Path, tmp_path: Path) -> None:
    data, net = nl.load_digits(), nl.load(model)
    images = (data.test.x[:5].reshape(5, 8, 8) * 255).round().astype(np.uint8)
    nl.write_idx(tmp_path / "images.idx.gz", images)
    out = json.loads(succeeds("predict", model, "images.idx.gz", "--json", cwd=tmp_path))
    assert [row["label"] for row in out["predictions"]] == net.predict(data.test.x[:5]).tolist()
    assert all(0 < row["probability"] <= 1 and row["class"] == str(row["label"]) for row in out["predictions"])


@pytest.mark.parametrize("dark_ink", [True, False])
@pytest.mark.parametrize("side", [8, 200])
def test_predict_takes_pngs_of_any_size_and_says_what_it_assumed(
    model: Path, tmp_path: Path, dark_ink: bool, side: int
) -> None:
    data = nl.load_digits()
    row = next(i for i in range(20) if data.test.y[i] == 3)
    grey = (data.test.x[row].reshape(8, 8) * 255).astype(np.uint8)
    picture = Image.fromarray(255 - grey if dark_ink else grey)
    if side != 8:
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "three.png")
    process = numlp("predict", model, "three.png", cwd=tmp_path)
    assert process.stdout.split("\t")[0] == "3"
    assert f"assumed {'dark ink on a light' if dark_ink else 'light ink on a dark'} background" in process.stderr


def test_evaluate_takes_a_csv_with_a_target_column(model: Path, tmp_path: Path) -> None:
    data = nl.load_digits()
    names = [*(f"p{k}" for k in range(64)), "digit"]
    path = write_csv(tmp_path / "test.csv", np.column_stack([data.test.x, data.test.y]), names)
    facts = json.loads(succeeds("evaluate", model, path, "--target", "digit", "--json", cwd=tmp_path))
    whole = json.loads(succeeds("evaluate", model, "digits", "--json", cwd=tmp_path))
    assert facts["confusion_matrix"] == whole["confusion_matrix"]
    error = fails(2, "evaluate", model, path, "--target", "label", cwd=tmp_path)
    assert "target must be one of the columns (p0, p1, " in error and error.endswith("got 'label'")


def test_data_describes_the_digits(tmp_path: Path) -> None:
    out = succeeds("data", "digits", cwd=tmp_path)
    assert "1,257 training" in out and "rows per class" in out
    facts = json.loads(succeeds("data", "digits", "--json", cwd=tmp_path))
    assert facts["rows"] == {"train": 1257, "validation": 180, "test": 360}
    assert sum(facts["rows_per_class"]["train"]) == 1257


def test_version_and_help(tmp_path: Path) -> None:
    assert succeeds("--version", cwd=tmp_path) == f"numlp {nl.__version__}\n"
    for command in ("train", "search", "evaluate", "predict", "data"):
        assert command in succeeds("--help", cwd=tmp_path)
    assert "--batch-norm" in succeeds("train", "--help", cwd=tmp_path)


BAD: dict[str, tuple[int, list[str], str]] = {
    "unknown data set": (2, ["train", "digts"], "numlp: train: dataset must be one of digits, fashion-mnist, kmnist, mnist, got 'digts'; did you mean 'digits'?"),
    "unknown recipe": (2, ["train", "digits", "--recipe", "tutorail"], "did you mean 'tutorial'?"),
    "unknown activation": (2, ["train", "digits", "--activation", "rellu"], "did you mean 'relu'?"),
    "unknown optimizer": (2, ["train", "digits", "--optimizer", "adamm"], "Lion, NAdam, RAdam, RMSprop, SGD, got 'adamm'; did you mean 'Adam'?"),
    "unknown dtype": (2, ["train", "digits", "--dtype", "float16"], "numlp: train: --dtype must be one of float32, float64, got 'float16'"),
    "hidden 0": (2, ["train", "digits", "--hidden", "0"], "--hidden must be whole numbers of at least 1 such as 512,512, got '0'"),
    "hidden text": (2, ["train", "digits", "--hidden", "big"], "--hidden must be whole numbers of at least 1 such as 512,512, got 'big'"),
    "rate 0": (2, ["train", "digits", "--learning-rate", "0"], "numlp: train: --learning-rate must be a number above 0, got 0.0"),
    "epochs 0": (2, ["train", "digits", "--epochs", "0"], "numlp: train: --epochs must be a whole number of at least 1, got 0"),
    "batch size 0": (2, ["train", "digits", "--batch-size", "0"], "--batch-size must be 'full' or a whole number of at least 1, got '0'"),
    "dropout 1": (2, ["train", "digits", "--dropout", "1"], "numlp: train: --dropout must be a number at least 0 and below 1, got 1.0"),
    "unknown option": (2, ["train", "digits", "--epoch", "3"], "numlp: train: No such option --epoch; did you mean --epochs?"),
    "search of nothing": (2, ["search", "digits"], "--hidden, --dropout, --learning-rate or --batch-size must be given"),
    "no folder for out": (4, ["train", "digits", "--out", "nowhere/m"], "no such folder for --out"),
    "out is a folder": (4, ["train", "digits", "--out", "."], "no file can be written for --out"),
    "divergence": (3, ["train", "digits", "--learning-rate", "1e30", "--optimizer", "sgd", "--quiet"], "numlp: fit: loss must stay finite, got "),
    "run of a search": (2, ["train", "digits", "--recipe", "tutorial", "--run", "a"], "--run must come with one training, got a search of widths; give one by --hidden"),
    "checkpoints nowhere": (2, ["train", "digits", "--checkpoint-every", "5"], "--run must name a folder for --checkpoint-every and --keep-going, got none"),
    "missing model": (4, ["evaluate", "nothing.safetensors", "digits"], "numlp: nothing.safetensors: No such file or directory"),
    "missing input": (4, ["predict", "MODEL", "nothing.png"], "numlp: nothing.png: No such file or directory"),
    "model is a pickle": (2, ["evaluate", "evil.pkl", "digits"], "got a pickle (PyTorch's or Python's): not safetensors; refusing to unpickle untrusted files"),
    "csv of other width": (2, ["predict", "MODEL", "narrow.csv"], "numlp: predict: x must have shape (n, 64), got (1, 3)"),
    "csv with text": (2, ["predict", "MODEL", "text.csv"], "text.csv line 2 column 2: 'n/a' is not a finite number; 1 such cell in the file"),
    "csv with nan": (2, ["predict", "MODEL", "nan.csv"], "nan.csv line 1 column 1: 'nan' is not a finite number; 2 such cells in the file"),
    "model of lies": (2, ["predict", "lies.safetensors", "narrow.csv"], "lies.safetensors: header must have 2 to 1,048,576 bytes, got 9,223,372,036,854,775,808"),
    "csv without target": (2, ["evaluate", "MODEL", "narrow.csv"], "--target must name the column of labels in a CSV file, got none"),
    "idx of labels": (2, ["predict", "MODEL", "labels.idx"], "labels.idx: file must hold at least 1 row of numbers, got dimensions (3,)"),
    "idx of nothing": (2, ["predict", "MODEL", "nothing.idx"], "nothing.idx: file must hold at least 1 row of numbers, got dimensions (0, 8, 8)"),
    "csv of labels only": (2, ["evaluate", "MODEL", "only.csv", "--target", "y"], "only.csv column 'y': labels must be whole numbers beside other columns, got no other column"),
    "csv label 1e300": (2, ["evaluate", "MODEL", "huge.csv", "--target", "y"], "huge.csv column 'y': labels must be whole numbers beside other columns, got 1e+300"),
    "csv label 0.5": (2, ["evaluate", "MODEL", "half.csv", "--target", "y"], "half.csv column 'y': labels must be whole numbers beside other columns, got 0.5"),
    "csv label 77": (2, ["evaluate", "MODEL", "seven.csv", "--target", "y"], "numlp: evaluate: y must be integer labels 0..9, got 1 different labels (77), the first outside is 77 at row 0"),
    "png that is none": (2, ["predict", "MODEL", "cut.png"], "cut.png: "),
    "model for other data": (2, ["evaluate", "other.safetensors", "digits"], "numlp: evaluate: digits must have what the model takes, 3 columns, got 8x8"),
    "mnist without network": (4, ["train", "mnist", "--data-dir", "data"], "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609  train-images-idx3-ubyte.gz"),
    "mnist offline": (4, ["data", "mnist", "--data-dir", "data", "--offline"], "MNIST is not complete; put these 4 files with these SHA256 in "),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_message_and_its_exit_status(name: str, model: Path, tmp_path: Path) -> None:
    status, arguments, text = BAD[name]
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / "narrow.csv").write_text("1,2,3\n")
    (tmp_path / "nan.csv").write_text("nan,2,inf\n")
    (tmp_path / "lies.safetensors").write_bytes((1 << 63).to_bytes(8, "little") + b"{}")
    (tmp_path / "text.csv").write_text("1,2,3\n4,n/a,6\n")
    nl.write_idx(tmp_path / "labels.idx", np.zeros(3, np.uint8))
    nl.write_idx(tmp_path / "nothing.idx", np.zeros((0, 8, 8), np.uint8))
    (tmp_path / "only.csv").write_text("y\n1\n")
    for name, label in (("huge", "1e300"), ("half", "0.5"), ("seven", "77")):
        columns = ",".join(f"p{k}" for k in range(64))
        (tmp_path / f"{name}.csv").write_text(f"{columns},y\n{'0,' * 64}{label}\n")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    nl.save(nl.Network([nl.Dense(3, 2)], rng=0, loss=nl.SoftmaxCrossEntropy()), tmp_path / "other.safetensors")
    process = numlp(*(str(model) if word == "MODEL" else word for word in arguments), cwd=tmp_path)
    assert process.returncode == status, process.stderr
    assert text in process.stderr and "Traceback" not in process.stderr
    assert "test loss" not in process.stdout and not (tmp_path / "digits.safetensors").exists()


@pytest.mark.parametrize("command", ["train", "search"])
def test_ctrl_c_saves_what_was_learnt_and_says_so(command: str, tmp_path: Path) -> None:
    arguments = {"train": ["--epochs", "100000"], "search": ["--hidden", "5", "--epochs", "100000"]}[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "numlp", command, "digits", *arguments],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    if command == "train":
        process.stdout.readline()
    time.sleep(1)  # into the training; wherever the signal lands, the outcome is one of the two asserted
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130 and "Traceback" not in err
    if command == "train":
        assert "interrupted; what was learnt is in digits.safetensors" in err and "test loss" in out
        assert np.isfinite(nl.load(tmp_path / "digits.safetensors").params).all()
    else:
        assert err.strip() == "numlp: interrupted"


def test_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    command = ["train", "digits", "--epochs", "8", "--patience", "5", "--checkpoint-every", "7", "--run", "runs/a"]
    killer = (
        "import os, signal, sys, numlp.files; from numlp.cli import main; real, saves = os.replace, []\n"
        "def replace(*paths):\n"
        "    real(*paths)\n"
        "    saves.extend(path for path in paths[1:] if 'checkpoint-' in str(path))\n"  # others replace files too
        "    if len(saves) == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"os.replace, sys.argv[1:] = replace, {command}; main()"
    )
    process = subprocess.run([sys.executable, "-c", killer], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL
    out = succeeds(*command, cwd=tmp_path)
    assert "resuming runs/a at epoch 3, step 39/40, from runs/a/checkpoint-00000119.safetensors\n" in out
    assert "is finished: nothing is left to train after epoch 8 of" in succeeds(*command, cwd=tmp_path)
    succeeds(*command[:-4], "--out", "straight.safetensors", cwd=tmp_path)
    assert (tmp_path / "digits.safetensors").read_bytes() == (tmp_path / "straight.safetensors").read_bytes()
    events = [json.loads(line) for line in (tmp_path / "runs/a/log.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events if e["event"] != "epoch"] == ["begin", "resume", "end"]
    assert {e["epoch"] for e in events if e["event"] == "epoch"} == set(range(1, 9))
    error = fails(2, *command, "--seed", "4", "--learning-rate", "0.1", "--quiet", cwd=tmp_path)
    assert "got given.seed=0, now 4; given.learning_rate=0.003, now 0.1; " in error


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_run_that_gets_a_signal_keeps_the_next_step_and_says_so(signum: signal.Signals, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "numlp",
        "train",
        "digits",
        "--epochs",
        "100000",
        "--run",
        "a",
        "--checkpoint-every",
        "9999999",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("a/checkpoint-*")):  # the one of the begin
        time.sleep(0.01)
    process.send_signal(signum)
    _, err = process.communicate(timeout=600)
    word, status = {signal.SIGTERM: ("terminated", 143), signal.SIGINT: ("interrupted", 130)}[signum]
    assert (process.returncode, err) == (status, f"numlp: {word}; the same command goes on from a\n")
    assert not (tmp_path / "digits.safetensors").exists()
    newest = max(tmp_path.glob("a/checkpoint-*"))
    assert int(newest.stem[-8:]) > 0 and nl.load(newest).n_out == 10


@pytest.mark.parametrize("command", [["predict", "rows.csv"], ["evaluate", "rows.csv", "--target", "y"]])
def test_class_names_from_a_file_do_not_drive_the_terminal(command: list[str], tmp_path: Path) -> None:
    names = ["cat\x1b[2J", "狗\n\x07"]
    net = nl.Network([nl.Dense(1, 2)], rng=0, class_names=names, loss=nl.SoftmaxCrossEntropy())
    nl.save(net, tmp_path / "m.safetensors")
    (tmp_path / "rows.csv").write_text("1\n-1\n" if command[0] == "predict" else "x,y\n1,0\n-1,1\n")
    arguments = [command[0], "m.safetensors", *command[1:], "--quiet"]
    out = succeeds(*arguments, cwd=tmp_path)
    assert "cat\\x1b[2J" in out and "狗\\n\\x07" in out and "\x1b" not in out
    if command[0] == "predict":  # JSON has its own escapes, and the names as they are
        predictions = json.loads(succeeds(*arguments, "--json", cwd=tmp_path))["predictions"]
        assert {row["class"] for row in predictions} == set(names)


def test_reader_that_stops_early_is_no_error(model: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", np.tile(nl.load_digits().test.x, (20, 1)))
    command = f"{sys.executable} -m numlp predict {model} rows.csv | head -n 1"
    process = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert len(process.stdout.splitlines()) == 1 and "Traceback" not in process.stderr and "Broken" not in process.stderr


def test_bar_appears_on_a_terminal_and_not_with_quiet(tmp_path: Path) -> None:
    def shown(*flags: str) -> str:
        leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (24, 120))
        command = [sys.executable, "-m", "numlp", "train", "digits", "--epochs", "400", "--hidden", "256", *flags]
        environment = os.environ | ENVIRONMENT
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        text = b""
        while True:
            try:
                text += os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0
        os.close(leader)
        return text.decode()

    text = shown()
    assert "loss 0." in text and "accuracy" in text and "/400" in text
    assert shown("--quiet") == ""


def test_every_data_set_has_every_recipe_and_its_network_can_be_built() -> None:
    data = nl.load_digits()
    for recipes in RECIPES.values():
        assert set(recipes) == set(DATASETS)
        for recipe in recipes.values():
            assert build_network(recipe, data, seed=0).n_out == 10


def test_mnist_trains_from_the_real_files(mnist_folder: Path, tmp_path: Path) -> None:
    facts = json.loads(
        succeeds("train", "mnist", "--data-dir", mnist_folder, "--epochs", 1, "--hidden", 64, "--json", cwd=tmp_path)
    )
    assert facts["test"]["accuracy"] > 0.9 and facts["model"] == "mnist.safetensors"
    assert "verified" in succeeds("data", "mnist", "--data-dir", mnist_folder, cwd=tmp_path)
    out = succeeds("evaluate", "mnist.safetensors", "mnist", "--data-dir", mnist_folder, cwd=tmp_path)
    assert "10,000 rows" in out


def test_train_diagnose_says_what_is_wrong_also_when_quiet_and_with_the_tutorial(tmp_path: Path) -> None:
    said = succeeds("train", "digits", "--diagnose", "--quiet", "--epochs", 5, cwd=tmp_path).splitlines()
    assert said[0] == "diagnosis of the training: nothing was found"
    said = succeeds(
        "train", "digits", "--diagnose", "--quiet", "--epochs", 3, "--learning-rate", 1e-8, cwd=tmp_path
    ).splitlines()
    assert said[0] == "diagnosis of the training, causes first:"
    assert said[1].startswith("1. training: largest change of the weights in a step against their size should be near 0.001")
    out = succeeds("train", "digits", "--diagnose", "--recipe", "tutorial", "--epochs", 30, cwd=tmp_path)
    assert out.count("diagnosis of the training: nothing was found") == 4


def test_train_diagnose_puts_findings_into_the_json_object(tmp_path: Path) -> None:
    flags = ("--diagnose", "--json", "--epochs", 2)
    process = numlp("train", "digits", *flags, "--learning-rate", 1e-8, cwd=tmp_path)
    (finding,) = json.loads(process.stdout)["findings"]
    assert set(finding) == {"what", "where", "number", "limit", "advice"} and finding["where"] == "training"
    assert "diagnosis of the training, causes first:\n1. training: largest change" in process.stderr
    assert json.loads(succeeds("train", "digits", *flags, cwd=tmp_path))["findings"] == []
    assert "findings" not in json.loads(succeeds("train", "digits", *flags[1:], cwd=tmp_path))


def test_train_diagnose_tells_of_a_training_that_diverged(tmp_path: Path) -> None:
    flags = ("--diagnose", "--optimizer", "SGD", "--learning-rate", 1e20, "--activation", "identity")
    lines = fails(3, "train", "digits", "--quiet", *flags, cwd=tmp_path).splitlines()
    assert lines[0].startswith("diagnosis of the training, causes first:") and "lower the learning rate 1e+20" in lines[1]
    assert lines[-1].startswith("numlp: fit: loss must stay finite")


def test_example_refuses_a_model_of_other_images_in_one_line(tmp_path: Path) -> None:
    nl.save(nl.Network([nl.Dense(784, 10)], rng=0, loss=nl.SoftmaxCrossEntropy()), tmp_path / "m.safetensors")
    example = Path(__file__).parents[1] / "examples" / "show_predictions.py"
    process = subprocess.run([sys.executable, example, tmp_path / "m.safetensors"], capture_output=True, text=True)
    assert process.returncode == 1 and process.stderr.endswith(
        "model must take the 64 pixels of the digits, got one of 784\n"
    )
    assert process.stderr.count("\n") == 1
