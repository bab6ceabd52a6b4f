"""A training that was ended at any step goes on to the same bytes; another training is refused, field by field."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp import blas, kernels
from numlp.run import Run
from numlp.states import read_state, read_tag, write_state
from trainings import CALLBACKS, STEPS, TRAININGS, end_of


class Lost(Exception):
    """What ends a training, as a power cut does."""


class Cut(nl.Callback):
    """Ends the process, as it were, after a step, before a checkpoint of it is written."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            raise Lost


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing here loses power: tests/torture does. Ctrl-C is heard, also where tests run in the background."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, outer)


def train(
    name: str, seed: int, folder: Path | None, cut: int | None = None, **options: Any
) -> tuple[nl.Network, dict[str, Any]]:
    """Run a training of the table, with checkpoints if there is a folder, and return the network and its end."""
    network, given = TRAININGS[name](seed)
    listeners = [*given.pop("callbacks", ()), Cut(cut)]
    if folder is not None:
        listeners.append(nl.Checkpointer(folder, **({"steps": 4} | options)))
    history = nl.fit(network, **given, callbacks=listeners, resume=folder)
    return network, end_of(network, given | {"callbacks": listeners[: -1 if folder is None else -2]}, history)


@pytest.mark.parametrize("name", TRAININGS)
def test_training_ended_at_random_steps_goes_on_to_the_same_bytes(name: str, memory_folder: Path) -> None:
    straight, expected = train(name, 0, None)
    cuts = np.random.default_rng([len(name), *name.encode()]).integers(1, STEPS, 3)
    for seed, cut in enumerate([*sorted(int(step) for step in cuts), None]):
        try:  # each time a new network, of another seed
            network, end = train(name, seed, memory_folder / "run", cut)
        except Lost:
            continue
    assert end == expected
    nl.save(straight, memory_folder / "a")
    nl.save(network, memory_folder / "b")
    assert (memory_folder / "a").read_bytes() == (memory_folder / "b").read_bytes()
    _, again = train(name, 9, memory_folder / "run")  # a finished one is found finished
    assert again == expected


@pytest.mark.parametrize("name", ["everything", "SGD 1", *CALLBACKS])
def test_every_checkpoint_of_a_training_goes_on_to_the_same_bytes_in_another_folder(name: str, memory_folder: Path) -> None:
    network, given = TRAININGS[name](0)
    straight = end_of(network, given, nl.fit(network, **given))
    for writer in (nl.Checkpointer(memory_folder / "steps", steps=1, keep=99), nl.Checkpointer(memory_folder / "epochs")):
        network, given = TRAININGS[name](0)
        nl.fit(network, **_with(given, writer))
        files = sorted(writer.folder.iterdir())
        assert len(files) > 2
        for i, path in enumerate(files):  # begin, the middle of epochs, their ends, the end
            network, given = TRAININGS[name](i)
            again = nl.Checkpointer(memory_folder / f"{writer.folder.name} {i}")
            history = nl.fit(network, **_with(given, again), resume=path)
            assert end_of(network, given, history) == straight
            assert path == files[-1] or max(again.folder.iterdir()).name == files[-1].name
        assert sorted(writer.folder.iterdir()) == files


def _with(given: dict[str, Any], *more: nl.Callback) -> dict[str, Any]:
    return given | {"callbacks": [*given.get("callbacks", ()), *more]}


class Interrupt(nl.Callback):
    """A signal in the middle of a step."""

    def __init__(self, step: int, signum: int = signal.SIGINT) -> None:
        self.step, self.signum = step, signum

    def on_gradients(self, run: Run) -> None:
        if run.step + 1 == self.step:
            os.kill(os.getpid(), self.signum)


@pytest.mark.parametrize("name", ["stop by a callback", "everything", "MovingAverage", "EarlyStopping that stops"])
@pytest.mark.parametrize("step", [1, 6, 9, 12, 24])  # in epochs and at their ends; 9 is where the callback stops
def test_interrupted_training_goes_on_to_the_same_bytes(name: str, step: int, memory_folder: Path) -> None:
    expected = train(name, 0, None)[1]
    network, given = TRAININGS[name](0)
    writer = nl.Checkpointer(memory_folder, epochs=99)
    history = nl.fit(network, **_with(given, Interrupt(step), writer), resume=memory_folder)
    assert history.interrupted == (step <= {"stop by a callback": 9, "EarlyStopping that stops": 12}.get(name, STEPS))
    if history.interrupted:
        assert (memory_folder / f"checkpoint-{step:08}.safetensors").exists()
    assert train(name, 1, memory_folder, steps=None, epochs=99)[1] == expected


def fit_again(memory_folder: Path, change: Any = None, **options: Any) -> nl.History:
    """Train with checkpoints in a folder, or go on from them; `change` gets the parts that may be changed."""
    rng = np.random.default_rng(0)
    parts = {
        "x": rng.random((12, 4)), "y": np.arange(12) % 3, "weight": rng.random(12), "widths": (4, 5, 3), "rng": 7,
        "dtype": "float32", "l2": 0.0, "vx": rng.random((6, 4)), "vy": np.arange(6) % 3, "settings": {"split": {"seed": 1}},
        "loss": nl.SoftmaxCrossEntropy(), "optimizer": nl.AdamW(nl.Cosine(0.01)), "epochs": 2, "batch_size": 5,
        "augment": nl.Distortion((2, 2)), "callbacks": [nl.MaxNorm(2.0)], "activation": "relu",
    }  # fmt: skip
    parts |= change or {}
    a, b, c = parts.pop("widths")
    network = nl.Network(
        [nl.Dense(a, b, parts.pop("activation")), nl.Dense(b, c)], parts.pop("rng"), parts.pop("dtype"), l2=parts.pop("l2")
    )
    weight = [] if parts["weight"] is None else [parts["weight"]]
    data = {"train": (parts.pop("x"), parts.pop("y"), *weight), "validation": (parts.pop("vx"), parts.pop("vy"))}
    del parts["weight"]
    parts["callbacks"] = [*parts["callbacks"], nl.Checkpointer(memory_folder, settings=parts.pop("settings"))]
    before = network.params.tobytes()
    try:
        return nl.fit(network, **data, **parts, resume=memory_folder, **options)
    except nl.errors.CheckpointError:
        assert network.params.tobytes() == before  # refused before anything is changed
        raise


_x = np.random.default_rng(0).random((12, 4))
# name -> (what is changed, what the error must name)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "x": ({"x": _x + 1e-12}, r"train\.0\.sha256='\w{64}', now '\w{64}'"),
    "x dtype": ({"x": _x.astype(np.float32)}, r"train\.0\.dtype='float64', now 'float32'; train\.0\.sha256='.*"),
    "y": ({"y": np.arange(1, 13) % 3}, r"train\.1\.sha256='\w{64}', now '\w{64}'"),
    "weight": ({"weight": _x[:, 0]}, r"train\.2\.sha256='\w{64}', now '\w{64}'"),
    "no weight": ({"weight": None}, r"train\.2\.shape\.0=12, now none; .*train\.2\.sha256=.*, now none"),
    "fewer rows": (
        {"x": _x[:10], "y": np.arange(10) % 3, "weight": _x[:10, 0]},
        r"train\.0\.shape\.0=12, now 10; .*train\.1\.shape\.0=12, now 10",
    ),
    "validation x": ({"vx": _x[:6] * 2}, r"validation\.0\.sha256='\w{64}', now '\w{64}'"),
    "validation y": ({"vy": np.zeros(6, int)}, r"validation\.1\.sha256='\w{64}', now '\w{64}'"),
    "width": ({"widths": (4, 6, 3)}, r"network\.layers\.0\.n_out=5, now 6; network\.layers\.1\.n_in=5, now 6"),
    "activation": ({"activation": "tanh"}, r"network\.layers\.0\.activation='relu', now 'tanh'"),
    "l2": ({"l2": 0.5}, r"network\.l2=0\.0, now 0\.5"),
    "dtype": ({"dtype": "float64"}, r"network\.dtype='float32', now 'float64'"),
    "loss": ({"loss": nl.SoftmaxCrossEntropy(label_smoothing=0.1)}, r"loss\.label_smoothing=0\.0, now 0\.1"),
    "optimizer": ({"optimizer": nl.SGD(nl.Cosine(0.01))}, r"optimizer\.type='AdamW', now 'SGD'"),
    "its number": ({"optimizer": nl.AdamW(nl.Cosine(0.01), beta1=0.5)}, r"optimizer\.beta1=0\.9, now 0\.5"),
    "schedule": ({"optimizer": nl.AdamW(0.01)}, r"optimizer\.learning_rate\.type='Cosine', now none"),
    "its rate": ({"optimizer": nl.AdamW(nl.Cosine(0.02))}, r"optimizer\.learning_rate\.learning_rate=0\.01, now 0\.02"),
    "fewer epochs": ({"epochs": 1}, r"epochs=2, now 1"),
    "more epochs and another rate": ({"epochs": 3, "l2": 0.5}, r"network\.l2=0\.0, now 0\.5; .*epochs=2, now 3"),
    "batch_size": ({"batch_size": 4}, r"batch_size=5, now 4"),
    "no augment": ({"augment": None}, r"augment\.type='Distortion', now none; .*"),
    "augment": ({"augment": nl.Distortion((2, 2), shift=0.5)}, r"augment\.shift=1\.5, now 0\.5"),
    "callback": ({"callbacks": [nl.MaxNorm(3.0)]}, r"callbacks\.0\.c=2\.0, now 3\.0"),
    "another callback": (
        {"callbacks": [nl.MaxNorm(2.0), nl.MovingAverage()]},
        r"callbacks\.1\.type=none, now 'MovingAverage'; callbacks\.1\.decay=none, now 0\.999",
    ),
    "no callback": ({"callbacks": []}, r"callbacks\.0\.type='MaxNorm', now none; .*"),
    "generator": ({"rng": np.random.Generator(np.random.MT19937(0))}, r"generator='PCG64', now 'MT19937'"),
    "settings": ({"settings": {"split": {"seed": 2}}}, r"given\.split\.seed=1, now 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_training_is_refused_with_field_saved_and_current_value(name: str, memory_folder: Path) -> None:
    fit_again(memory_folder)
    before = {path.name: path.read_bytes() for path in memory_folder.iterdir()}
    change, text = REFUSED[name]
    with pytest.raises(nl.errors.CheckpointError) as caught:
        fit_again(memory_folder, change)
    pattern = (
        rf"fit: settings must be those of {re.escape(str(memory_folder))}/checkpoint-00000006\.safetensors, "
        rf"got (.*; )?{text}(; .*)?; refusing: give the same ones \(but epochs, which may be more than 2\), or begin "
        r"anew in another folder, from its weights if you like: network = nl\.load\(path\)"
    )
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)
    assert {path.name: path.read_bytes() for path in memory_folder.iterdir()} == before


def test_same_training_from_other_seed_and_other_arrays_of_the_same_numbers_is_taken(memory_folder: Path) -> None:
    records = fit_again(memory_folder).records
    assert fit_again(memory_folder, {"rng": 99, "x": np.asfortranarray(_x)}).records == records


ENVIRONMENT: dict[str, tuple[str, str, Any]] = {
    "numlp": ("numlp.resumption.__version__", "numlp", "9.9"),
    "numpy": ("numpy.__version__", "numpy", "9.9"),
    "blas": ("numlp.blas.libraries", "blas", lambda: []),
    "kernels": ("numlp.kernels.status", "kernels", lambda: ("none", "")),
}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_another_environment_gives_one_warning_with_field_and_values(
    name: str, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_again(memory_folder)
    target, field, value = ENVIRONMENT[name]
    monkeypatch.setattr(target, value)
    with pytest.warns(UserWarning) as caught:
        fit_again(memory_folder)
    pattern = rf"fit: \S+ was made with {field}='.*', now .*; the result may differ in its last digits"
    assert [bool(re.fullmatch(pattern, str(warning.message))) for warning in caught] == [True]


def test_another_number_of_threads_warns_unless_it_does_not_matter(memory_folder: Path) -> None:
    fit_again(memory_folder / "a", n_threads=1)
    with pytest.warns(UserWarning, match=r"was made with threads=1, now 2; the result may differ") as caught:
        fit_again(memory_folder / "a", n_threads=2)
    assert len(caught) == 1
    fit_again(memory_folder / "b", n_threads=1, deterministic=True)
    fit_again(memory_folder / "b", n_threads=2, deterministic=True)


def test_checkpoint_tells_what_made_it(memory_folder: Path) -> None:
    fit_again(memory_folder, n_threads=1)
    found = read_state(max(memory_folder.iterdir()))["environment"]
    library = blas.libraries()[0]
    assert found == {
        "numlp": nl.__version__, "numpy": np.__version__, "kernels": kernels.status()[0], "threads": 1,
        "blas": f"{library.name} {library.version} {library.architecture}",
    }  # fmt: skip


def test_load_predict_and_evaluate_draw_nothing(memory_folder: Path) -> None:
    network, given = TRAININGS["everything"](0)
    nl.fit(network, **given)
    nl.save(network, memory_folder / "m")
    before = repr((network.rng.bit_generator.state, np.random.get_state()))  # noqa: NPY002  (that it is left alone)
    loaded = nl.load(memory_folder / "m", network.rng)
    for net in (network, loaded):
        drawn = repr(net.rng.bit_generator.state)
        net.predict(given["validation"][0])
        nl.evaluate(net, given["validation"])
        assert repr(net.rng.bit_generator.state) == drawn
    assert repr(np.random.get_state()) in before  # noqa: NPY002


def test_history_of_no_epoch_and_a_minimum_at_the_start_are_found_finished(memory_folder: Path) -> None:
    def run() -> nl.History:
        network = nl.Network([nl.Dense(2, 1, initializer="zeros")], rng=0)
        x = np.array([[1.0, 2.0], [3.0, 4.0]])
        writer = nl.Checkpointer(memory_folder)
        return nl.fit(
            network, (x, np.zeros((2, 1))), loss=nl.SquaredError(), optimizer=nl.LBFGS(), batch_size=None,
            callbacks=[writer], resume=memory_folder,
        )  # fmt: skip

    assert len(run()) == len(run()) == 0
    assert [path.name for path in memory_folder.iterdir()] == ["checkpoint-00000000.safetensors"]


def test_part_that_does_not_keep_its_arguments_is_refused_where_there_are_checkpoints(memory_folder: Path) -> None:
    class Hidden(nl.SGD):
        def __init__(self, speed: float) -> None:
            super().__init__(speed)

    with pytest.raises(nl.errors.ArgumentError, match=r"^fit: parts must keep their arguments as attributes .*'speed'"):
        fit_again(memory_folder, {"optimizer": Hidden(0.1)})
    assert list(memory_folder.iterdir()) == []


DAMAGES = {
    "no epoch": lambda state: state.pop("epoch"),
    "epoch a text": lambda state: state.update(epoch="x"),
    "params too short": lambda state: state.update(params=state["params"][1:]),
    "no generator": lambda state: state.pop("generator"),
    "generator of another kind": lambda state: state["generator"].update(bit_generator="SFC64"),
    "NaN": lambda state: state["params"].fill(np.nan),
    "optimizer without m": lambda state: state["optimizer"].pop("m"),
    "m too long": lambda state: state["optimizer"].update(m=np.zeros(99, np.float32)),
    "callbacks missing": lambda state: state.update(callbacks=[]),
    "totals not numbers": lambda state: state.update(totals=["a", "b", "c", "d"]),
    "history of unequal columns": lambda state: state["history"]["loss"].pop(),
    "settings missing": lambda state: state.pop("settings"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_file_that_somebody_else_made_is_refused_as_not_whole(name: str, memory_folder: Path) -> None:
    fit_again(memory_folder / "run")
    path = max((memory_folder / "run").iterdir())
    state = read_state(path)
    DAMAGES[name](state)
    write_state(path, state, read_tag(path) or "")
    with pytest.raises(nl.errors.CheckpointError, match=r"^fit: \S+ must hold the whole state of a training, got "):
        fit_again(memory_folder / "run")


def test_argument_that_an_earlier_version_did_not_have_is_none(memory_folder: Path) -> None:
    ends = []
    for cut in (8, None):
        network = nl.Network([nl.Standardize(4), nl.Dense(4, 3)], rng=0)
        callbacks = [Cut(cut), nl.Checkpointer(memory_folder, steps=4)]
        with contextlib.suppress(Lost):
            nl.fit(network, (_x, np.arange(12) % 3), epochs=9, batch_size=4, callbacks=callbacks, resume=memory_folder)
        path = max(memory_folder.iterdir())
        state = read_state(path)
        state["settings"]["network"]["layers"][0].pop("remainder")
        write_state(path, state, read_tag(path) or "")
        ends.append(state["step"])
    assert ends == [6, 27]


@pytest.mark.parametrize("numbers", ["params", "state"])
def test_checkpoint_with_a_number_that_is_not_finite_is_refused(numbers: str, memory_folder: Path) -> None:
    def run() -> None:
        network = nl.Network([nl.Dense(2, 2), nl.BatchNorm(2)], rng=0)
        data = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
        nl.fit(network, data, epochs=2, callbacks=[nl.Checkpointer(memory_folder)], resume=memory_folder)

    run()
    path = max(memory_folder.iterdir())
    state = read_state(path)
    state[numbers][-1] = np.nan
    write_state(path, state, read_tag(path) or "")
    with pytest.raises(nl.errors.CheckpointError, match=r"got ValueError\('numbers that are not finite'\)$"):
        run()


class Extra(nl.Callback):
    """Adds a figure to every second record."""

    def on_epoch(self, run: Run) -> None:
        if run.epoch % 2 == 0:
            run.history.records[-1]["extra"] = float(run.epoch)


def test_figures_that_a_callback_has_added_to_some_records_stay(memory_folder: Path) -> None:
    def run(*callbacks: nl.Callback) -> list[dict[str, float]]:
        network, given = TRAININGS["SGD 0"](0)
        writer = nl.Checkpointer(memory_folder)
        history = nl.fit(network, **given, callbacks=[Extra(), *callbacks, writer], resume=memory_folder)
        return [{key: value for key, value in record.items() if key != "seconds"} for record in history.records]

    with pytest.raises(Lost):
        run(Cut(20))
    records = run()
    assert ["extra" in record for record in records] == [False, True, False, True]
    assert list(records[1]) == list(records[3])


# A training may be told to go on for more epochs.

CONSTANT = ["SGD 0", "Adam 0", "AdamW 1", "Dropout", "BatchNorm", "MaxNorm", "distorted", "float64", "ReduceOnPlateau"]


def longer(name: str, seed: int, folder: Path, epochs: int, cut: int | None = None) -> Any:
    network, given = TRAININGS[name](seed)
    given["epochs"] = epochs
    listeners = [*given.pop("callbacks", ()), Cut(cut), nl.Checkpointer(folder, steps=4)]
    history = nl.fit(network, **given, callbacks=listeners, resume=folder)
    return end_of(network, given | {"callbacks": listeners[:-2]}, history)


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("cut", [None, 4, 9, 12])  # finished, within an epoch, before the end is written
def test_training_of_more_epochs_is_that_of_as_many_from_the_start(name: str, cut: int | None, memory_folder: Path) -> None:
    expected = longer(name, 0, memory_folder / "straight", 4)
    with contextlib.suppress(Lost):
        longer(name, 0, memory_folder / "run", 2, cut)
    with pytest.warns(UserWarning, match=r"was made for 2 epochs; training goes on to 4, from the weights and with"):
        with contextlib.suppress(Lost):
            longer(name, 1, memory_folder / "run", 4, 17)
    assert longer(name, 2, memory_folder / "run", 4) == expected == longer(name, 3, memory_folder / "run", 4)
    with pytest.raises(nl.errors.CheckpointError, match="epochs=4, now 2; refusing: give the same ones"):
        longer(name, 4, memory_folder / "run", 2)


def test_training_with_a_schedule_goes_on_with_that_of_more_epochs(memory_folder: Path) -> None:
    first = fit_again(memory_folder, {"callbacks": []})
    with pytest.warns(UserWarning, match="was made for 2 epochs; training goes on to 5"):
        longer = fit_again(memory_folder, {"callbacks": [], "epochs": 5})
    assert longer.records[:2] == first.records and len(longer) == 5
    assert longer["learning_rate"][2] > longer["learning_rate"][3] > longer["learning_rate"][4]


def test_training_that_a_callback_has_ended_has_nothing_left_for_more_epochs(memory_folder: Path) -> None:
    name = "EarlyStopping that stops"
    expected = longer(name, 0, memory_folder, 4)
    with pytest.warns(UserWarning, match="a callback has ended it, so that nothing is left to train"):
        assert longer(name, 1, memory_folder, 9) == expected
