"""What the command line says about options and arguments that are wrong: one voice, the names that were typed."""

import inspect
import re
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import numlp as nl
from numlp.cli import app
from numlp.cli.options import option_of
from numlp.cli.train import FOR_TABLES


def said(*arguments: str) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr of a command."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


WRONG = {
    "trian": "command must be one of data, doctor, evaluate, predict, search, train, verify, got 'trian'; did you mean ",
    "--colour": "No such option --colour; see `numlp --help`",
    "train": "train: DATASET must be given, got none; see `numlp train --help`",
    "predict": "predict: MODEL must be given, got none; see `numlp predict --help`",
    "evaluate m": "evaluate: DATASET must be given, got none; see `numlp evaluate --help`",
    "train digits mnist": "train: arguments must be those of the command, got mnist besides; see `numlp train --help`",
    "train digits --hidden": "train: --hidden must be followed by a value, got none; see `numlp train --help`",
    "train digits --lr 0.1": "train: No such option --lr; did you mean --learning-rate?",
    "train digits --learnin-rate 0.1": "train: No such option --learnin-rate; did you mean --learning-rate?",
    "search digits --bs 3": "search: No such option --bs; did you mean --batch-size?",
    "train digits --epochs x": "train: --epochs must be a whole number, got 'x'",
    "train digits --epochs=1.5": "train: --epochs must be a whole number, got '1.5'",
    "search digits --seed x --hidden 5": "search: --seed must be a whole number, got 'x'",
    "search digits --learning-rate 1 --learning-rate=y": "search: --learning-rate must be a number, got 'y'",
    "train digits --optimizer sdg": "train: --optimizer must be one of ",
    "data foo": "data: dataset must be one of digits, fashion-mnist, kmnist, mnist, got 'foo'",
    "help trian": "command must be one of ",
    "train digits --dropout x": "train: --dropout must be a number, got 'x'",
    "search digits --hidden 5 --hidden x": "search: --hidden must be whole numbers of at least 1 such as 512,512, got 'x'",
    "search digits --hidden 5 --batch-size x": "search: --batch-size must be 'full' or a whole number of at least 1, got ",
    "search digits --hidden 5 --activation x": "search: --activation must be one of ",
    "search digits --hidden 5 --optimizer x": "search: --optimizer must be one of ",
    "search digits --hidden 5 --recipe x": "search: --recipe must be one of default, tutorial, got 'x'",
    "train digits --dropout 20": "train: --dropout must be a number at least 0 and below 1, got 20.0; 0.2 is 20 %",
    "search digits --dropout 0.1 --dropout 1": "search: --dropout must be a number at least 0 and below 1, got 1.0",
    "train digits --seed -1": "train: --seed must be a whole number of at least 0, got -1",
    "train digits --dtype float16": "train: --dtype must be one of float32, float64, got 'float16'; did you mean 'float64'?",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_line_gets_one_message_in_one_voice(line: str) -> None:
    status, out, err = said(*line.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"numlp: {WRONG[line]}") and err.count("\n") == 1


def number_options() -> list[tuple[str, str]]:
    """Return (command, option) of every option of training that is a number, found in the commands themselves."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    return [
        (name, option_of(parameter))
        for name, command in commands.items()
        if name in ("train", "search")
        for parameter, kind in get_type_hints(inspect.unwrap(command.callback)).items()
        if re.search(r"\b(int|float)\b", str(kind))
    ]


@pytest.mark.parametrize(("command", "option"), number_options())
@pytest.mark.parametrize("value", ["-1", "nan", "text"])
def test_number_option_names_itself_before_anything_is_loaded(
    command: str, option: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the data set was loaded")

    monkeypatch.setattr("numlp.cli.train.load", load)
    table = option in map(option_of, FOR_TABLES)
    if table:
        Path("t.csv").write_text("a,b\n1,2\n2,3\n")
    arguments = [command, "t.csv" if table else "digits", option, value, *(["--target", "b"] if table else [])]
    arguments += ["--hidden", "5"] if command == "search" else []
    arguments += ["--run", "r"] if option == "--checkpoint-every" else []
    status, out, err = said(*arguments)
    assert (status, out) == (2, "") and err.startswith(f"numlp: {command}: {option} must be ") and "got " in err


def test_there_are_options_that_are_numbers() -> None:
    assert {option for _, option in number_options()} >= set(map(option_of, ("epochs", "learning_rate", "seed")))


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_has_a_short_option(flag: str) -> None:
    assert said(flag) == (0, f"numlp {nl.__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["train"], ["verify"]])
def test_help_has_a_short_option(command: list[str]) -> None:
    status, out, _ = said(*command, "-h")
    assert status == 0 and out == said(*command, "--help")[1] and out.startswith("Usage: ")


def test_help_is_a_command_and_is_shown_without_words() -> None:
    assert said("help") == said("--help") and said("help", "train") == said("train", "--help")
    status, out, err = said()
    assert status == 2 and not out and err.startswith("Usage: ") and "..." not in err.partition("Commands:")[2]


def test_missing_file_is_named_before_a_model_of_that_name(folder: Path) -> None:
    nl.save(nl.Network([nl.Dense(2, 2)], rng=0), folder / "houses.safetensors")
    assert said("train", "houses.csv")[2].startswith("numlp: houses.csv: No such file or directory; ")
    assert "did you mean 'houses.safetensors'?" in said("evaluate", "houses", "digits")[2]


def test_notes_about_pictures_do_not_reach_stdout_where_stderr_is_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nl.save(nl.Network([nl.Dense(4, 2)], rng=0, loss=nl.SoftmaxCrossEntropy()), folder / "m.safetensors")
    Path("rows.csv").write_text("0.1,0.2,0.3,0.4\n0.5,0.6,0.7,0.8\n")
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit):
        app(["predict", "m.safetensors", "rows.csv", "nofile.csv"])
    assert [line.count("\t") for line in capsys.readouterr().out.splitlines()] == [2, 2, 2]


def test_nearest_name_is_found_in_any_case() -> None:
    assert "did you mean 'SGD'?" in said("train", "digits", "--optimizer", "sdg")[2]


def test_search_of_one_setting_says_how_to_compare_widths() -> None:
    status, out, _ = said("search", "digits", "--hidden", "6,5", "--epochs", "1")
    assert status == 0
    assert "one setting, 2 hidden layers; to compare widths repeat --hidden: --hidden 6 --hidden 5\n" in out
    assert "train + validation for 1 epoch:" in out and "%" in out.split("accuracy")[1].splitlines()[1]
    _, out, _ = said("search", "digits", "--hidden", "6,5", "--hidden", "4", "--epochs", "1")
    assert "one setting" not in out


def test_train_says_its_settings_and_whose_learning_rate_it_takes() -> None:
    said_by = "30 epochs in steps of 32 rows, Adam, learning rate 0.003\n".replace("30 epochs", "1 epoch")
    assert said_by in said("train", "digits", "--epochs", "1")[1]
    assert "SGD, learning rate 0.3 (for this optimizer " in said("train", "digits", "--epochs", "1", "--optimizer", "sgd")[1]
    given = ("--optimizer", "sgd", "--learning-rate", "0.1")
    assert "SGD, learning rate 0.1\n" in said("train", "digits", "--epochs", "1", *given)[1]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("arguments", [["train", "digits", "--epochs", "1"], ["verify", "nowhere:x"], ["trian"]])
def test_closed_stream_changes_nothing_else(
    stream: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(sys, stream, None)
    with pytest.raises(SystemExit) as end:
        app(arguments)
    assert end.value.code == (0 if arguments[0] == "train" else 2)
    assert (folder / "digits.safetensors").exists() == (arguments[0] == "train")
