"""Every function and option that takes a path: "~" is the home folder, read-only files stay, errors have path and remedy."""

import errno
import inspect
import io
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import numlp as nl
from numlp import checkpointer, estimators, states
from numlp.cli import app
from numlp.data import frames, mnist, tables
from numlp.errors import ArgumentError, DTypeError, FormatError
from numlp.files import check_path, os_errors, with_remedy

DIGITS = nl.load_digits()


def network() -> nl.Network:
    return nl.Network([nl.Dense(64, 10)], rng=0, loss=nl.SoftmaxCrossEntropy())


def train(**options: Any) -> None:
    data = DIGITS.train.x[:32], DIGITS.train.y[:32]
    nl.fit(network(), data, epochs=1, progress=False, **options)


def save_table(path: Any) -> None:
    rows = np.arange(24.0).reshape(12, 2)
    estimators.TabularRegressor(epochs=1, hidden_layer_sizes=(2,)).fit(rows, rows[:, 0]).save(path)


# what is written to a path, and what is read from it
WRITERS: dict[str, Callable[[Any], Any]] = {
    "numlp.checkpoint.save": lambda path: nl.save(network(), path),
    "numlp.data.idx.write_idx": lambda path: nl.write_idx(path, np.zeros(3, np.uint8)),
    "numlp.states.write_state": lambda path: states.write_state(path, {"a": 1}),
    "numlp.estimators.table_model.TableModel.save": save_table,
}
FOLDERS: dict[str, Callable[[Any], Any]] = {
    "numlp.checkpointer.Checkpointer": lambda path: train(callbacks=[nl.Checkpointer(path)]),
    "numlp.training.fit": lambda path: train(callbacks=[nl.Checkpointer(path)], resume=path),
    "numlp.checkpointer.find_checkpoint": lambda path: [train(callbacks=[nl.Checkpointer(path)]), find(path)],
}
READERS: dict[str, Callable[[Any], Any]] = {
    "numlp.checkpoint.load": nl.load,
    "numlp.data.idx.read_idx": nl.read_idx,
    "numlp.data.tables.read_csv": tables.read_csv,
    "numlp.states.read_state": states.read_state,
    "numlp.data.images.read_image": nl.read_image,
    "numlp.data.frames.read_frame": lambda path: frames.read_frame(
        path + ".csv" if isinstance(path, str) and path else path
    ),
    "numlp.estimators.table_model.TableModel.load": estimators.TabularRegressor.load,
}


def find(path: Any) -> None:
    assert checkpointer.find_checkpoint(path) is not None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home folder of the test, whose working folder is another one."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.mark.parametrize("name", WRITERS | FOLDERS)
@pytest.mark.parametrize("make", [str, Path, str.encode])
def test_tilde_is_the_home_folder_where_something_is_written(name: str, make: Any, home: Path) -> None:
    (WRITERS | FOLDERS)[name](make("~/a b.bin"))
    assert (home / "a b.bin").exists() and not list(Path().iterdir())


@pytest.mark.parametrize("name", READERS)
def test_tilde_is_the_home_folder_where_something_is_read(name: str, home: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        READERS[name]("~/nothing")
    assert str(caught.value.filename).removesuffix(".csv") == str(home / "nothing") and "; " in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_read_only_file_is_not_replaced(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"read-only; change its mode \(chmod u\+rw\), or give another path: '"):
        WRITERS[name](path)
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == ["mine"]
    path.chmod(0o644)
    WRITERS[name](path)
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("name", WRITERS | FOLDERS | READERS)
@pytest.mark.parametrize("path", [io.BytesIO(b"x"), 3, 3.5, "", "a\0b", ["a"]])
def test_what_is_no_path_is_named(name: str, path: Any) -> None:
    with pytest.raises((DTypeError, ArgumentError), match=r"^\S.*: \S+ must be the name of a file or folder, got "):
        (WRITERS | FOLDERS | READERS)[name](path)


@pytest.mark.parametrize("name", WRITERS | READERS)
def test_folder_in_the_place_of_a_file_is_named_with_a_remedy(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a.csv"
    folder.mkdir()
    with pytest.raises((IsADirectoryError, FormatError), match=r"; (give|name)") as caught:
        (WRITERS | READERS)[name](folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path}/no; make it"):
        WRITERS[name](tmp_path / "no" / "model")


def test_missing_file_has_the_nearest_name(tmp_path: Path) -> None:
    nl.save(network(), tmp_path / "digits.safetensors")
    with pytest.raises(FileNotFoundError, match=r"did you mean '.*/digits\.safetensors'\?"):
        nl.load(tmp_path / "digit.safetensors")


def test_every_error_of_the_system_gets_path_and_remedy_once(tmp_path: Path) -> None:
    for code in errno.errorcode:
        found = with_remedy(OSError(code, "What the system says"), tmp_path)
        assert found.errno == code and found.filename == str(tmp_path)
        assert re.fullmatch(r"What the system says; \w.*", found.strerror)
        assert with_remedy(found, "elsewhere") is found
        with pytest.raises(OSError) as caught, os_errors("elsewhere"):
            raise found
        assert caught.value is found


def test_other_users_home_that_is_not_there_is_left_as_it_is() -> None:
    assert check_path("~nobody-of-this-name/a", "f") == Path("~nobody-of-this-name/a")
    assert check_path("a~b", "f") == Path("a~b")


def test_mnist_is_looked_for_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (lambda: nl.load_mnist("~/x", offline=True), lambda: nl.read_data_sets("~/x/MNIST")):
        monkeypatch.setattr(mnist, "locate", lambda folder, *_, **__: pytest.fail(str(folder)))
        with pytest.raises(pytest.fail.Exception, match=f"^{home}/x"):
            call()
    monkeypatch.setenv("NUMLP_DATA", "~/data")
    assert mnist.data_folder("mnist") == home / "data" / "mnist"


@pytest.mark.parametrize("variable", [True, False])
def test_data_folder_that_cannot_be_made_has_a_remedy(variable: bool, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NUMLP_DATA", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"give another folder \(--data-dir DIR\), or set NUMLP_DATA") as caught:
        nl.load_mnist(None if variable else tmp_path / "file" / "mnist")
    assert caught.value.filename == str(tmp_path / "file" / "mnist")


def test_data_folder_without_the_right_to_write_has_a_remedy(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(mnist.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="NUMLP_DATA"):
        nl.load_mnist(tmp_path)


# Whether the tables above are complete.


def takers() -> Iterator[str]:
    """Yield the public functions, methods and classes with an argument that is a path."""
    for package in (nl, estimators):
        for name in package.__all__:
            item = getattr(package, name)
            methods = inspect.getmembers(item, inspect.isroutine) if inspect.isclass(item) else []
            for member in (item, *(method for n, method in methods if not n.startswith("_"))):
                function = getattr(member, "__func__", member)
                hints = getattr(function.__init__ if inspect.isclass(function) else function, "__annotations__", {})
                if any("PathLike" in str(hint) for hint in hints.values()):
                    yield f"{function.__module__}.{function.__qualname__}"


# they look in a folder for what may be fetched
MNIST = {"numlp.data.mnist.load_mnist", "numlp.data.input_data.read_data_sets"}


def test_no_public_function_that_takes_a_path_is_left_out() -> None:
    found = set(takers())
    assert len(found) > 8 and found <= (WRITERS | FOLDERS | READERS).keys() | MNIST


def options() -> Iterator[tuple[str, str]]:
    """Yield (command, option) for each argument and option of the command line that is a path."""
    for command in app.registered_commands:
        function = inspect.unwrap(command.callback)  # type: ignore[arg-type]
        for name, hint in typing.get_type_hints(function, include_extras=True).items():
            if "Path" in str(hint):
                kind = "--" if "OptionInfo" in str(hint) else ""
                yield command.name or function.__name__, kind + name.replace("_", "-")


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_option_that_is_a_path_takes_a_tilde(command: str, option: str, home: Path) -> None:
    dataset = {"train": ["digits", "--epochs=1"], "search": ["digits", "--hidden=2", "--epochs=1"], "data": ["mnist"]}
    arguments = [command, *dataset.get(command, [])]
    if option.startswith("--"):
        if command in ("predict", "evaluate"):
            nl.save(network(), home / "m")
            arguments += ["~/m", "digits" if command == "evaluate" else "~/rows.csv"]
        arguments += [f"{option}=~/place", *(["--offline"] if option == "--data-dir" and command != "predict" else [])]
    else:
        nl.save(network(), home / "m")
        arguments += ["~/m", "digits"] if command == "evaluate" else ["~/m", "~/rows.csv"]
    np.savetxt(home / "rows.csv", np.zeros((2, 64)), delimiter=",")
    result = CliRunner().invoke(app, arguments)
    assert not (Path() / "~").exists() and "~" not in result.output.replace(f"{option}", "")


def test_table_named_with_a_tilde_is_found(home: Path) -> None:
    pytest.importorskip("pyarrow")
    (home / "t.csv").write_text("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    result = CliRunner().invoke(app, ["train", "~/t.csv", "--target=b", "--epochs=1", "--hidden=2", "--out=~/m.safetensors"])
    assert result.exit_code == 0, result.output
    assert (home / "m.safetensors").exists() and not list(Path().iterdir())


def test_read_only_model_is_refused_before_training(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")
    path.chmod(0o444)
    result = CliRunner().invoke(app, ["train", "digits", "--epochs=1", "--out", str(path)])
    assert result.exit_code == 4 and "read-only" in result.output and "epoch" not in result.output
    assert path.read_bytes() == b"old"


def test_read_only_checkpoint_stays(tmp_path: Path) -> None:
    class Protect(nl.Callback):
        def on_epoch(self, run: Any) -> None:
            for path in tmp_path.iterdir():
                path.chmod(0o444)

    data = DIGITS.train.x[:32], DIGITS.train.y[:32]
    nl.fit(network(), data, epochs=4, progress=False, callbacks=[Protect(), nl.Checkpointer(tmp_path, keep=1)])
    assert len(list(tmp_path.iterdir())) == 5
