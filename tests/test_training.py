import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.run import RECORD_KEYS, Run


def small(seed: int = 0, **options: Any) -> nl.Network:
    return nl.Network([nl.Dense(64, 16, "relu"), nl.Dense(16, 10)], seed, **options)


@pytest.fixture(scope="module")
def digits() -> Any:
    return nl.load_digits()


def test_fit_learns_the_digits(digits: Any) -> None:
    net = nl.Network([nl.Dense(64, 64, "relu"), nl.Dense(64, 10)], rng=0)
    history = nl.fit(net, digits.train, validation=digits.validation, optimizer=nl.Adam(3e-3), epochs=20, batch_size=32)
    assert history["loss"][0] > 10 * history["loss"][-1]
    assert history["validation_accuracy"][-1] > 0.95
    assert nl.evaluate(net, digits.test)["accuracy"] > 0.95


def test_history_has_one_record_an_epoch_with_the_documented_keys(digits: Any) -> None:
    history = nl.fit(small(), digits.train, validation=digits.validation, optimizer=nl.Adam(nl.Cosine(0.01)), epochs=3)
    assert len(history) == 3 and history["epoch"] == [1, 2, 3]
    assert all(tuple(record) == RECORD_KEYS for record in history.records)
    assert history["learning_rate"] == sorted(history["learning_rate"], reverse=True)
    assert not history.interrupted


def test_recorded_training_loss_is_the_mean_over_rows_not_over_batches() -> None:
    x, y = np.random.default_rng(0).normal(size=(10, 4)), np.arange(10) % 3
    net = nl.Network([nl.Dense(4, 3)], rng=0, dtype="float64")
    before = net.snapshot()

    class Still(nl.Callback):
        def on_gradients(self, run: Run) -> None:
            run.network.grads.fill(0)

    history = nl.fit(net, (x, y), optimizer=nl.SGD(0.1), epochs=1, batch_size=4, callbacks=[Still()])
    assert (net.params == before[0]).all()
    figures = nl.evaluate(net, (x, y))
    assert history["loss"][0] == pytest.approx(figures["loss"], rel=1e-12)
    assert history["accuracy"][0] == pytest.approx(figures["accuracy"], rel=1e-12)


def test_fit_full_batch_is_plain_gradient_descent() -> None:
    x, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 3
    net, twin = (nl.Network([nl.Dense(4, 3)], rng=0, dtype="float64") for _ in range(2))
    nl.fit(net, (x, y), optimizer=nl.SGD(0.5), epochs=5, batch_size=None)
    loss = nl.SoftmaxCrossEntropy()
    for _ in range(5):
        twin.backward(loss(twin.forward(x), y)[1])
        twin.params -= 0.5 * twin.grads
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-12)


def test_step_on_the_summed_loss_equals_step_on_the_mean_with_n_times_the_rate() -> None:
    x, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 3
    net = nl.Network([nl.Dense(4, 3)], rng=0, dtype="float64")
    z = x @ net.layers[0].W + net.layers[0].b
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p[np.arange(12), y] -= 1  # the gradient of the summed loss
    expected = net.layers[0].W - 1e-3 * x.T @ p
    nl.fit(net, (x, y), optimizer=nl.SGD(1e-3 * 12), epochs=1, batch_size=None)
    np.testing.assert_allclose(net.layers[0].W, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, bool])
def test_fit_converts_numbers_to_the_networks_dtype(dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2, size=(20, 4))
    y = np.arange(20) % 3
    nets = [nl.Network([nl.Dense(4, 3)], rng=0) for _ in range(2)]
    nl.fit(nets[0], (x.astype(dtype), y), epochs=2, batch_size=8)
    nl.fit(nets[1], (x.astype(np.float32), y), epochs=2, batch_size=8)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


def test_fit_takes_one_hot_labels_as_well(digits: Any) -> None:
    nets = [small(), small()]
    nl.fit(nets[0], digits.train, epochs=2)
    nl.fit(nets[1], (digits.train.x, np.eye(10)[digits.train.y]), epochs=2)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


def test_fit_of_numbers_records_no_accuracy() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    y = x @ np.array([1.0, -2.0, 0.5]) + 3
    net = nl.Network([nl.Dense(3, 1)], rng=0)
    history = nl.fit(net, (x, y), validation=(x, y), loss=nl.SquaredError(), optimizer=nl.SGD(0.1), epochs=60)
    assert "accuracy" not in history.records[0] and "validation_accuracy" not in history.records[0]
    np.testing.assert_allclose(net.layers[0].W.ravel(), [1, -2, 0.5], atol=1e-3)
    assert net.predict(x).shape == (200, 1)
    assert nl.evaluate(net, (x, y)).keys() == {"loss"}


def test_same_seed_gives_the_same_bytes(digits: Any) -> None:
    def trained() -> bytes:
        layers = [nl.Dense(64, 16), nl.BatchNorm(16), nl.Activation(16, "relu"), nl.Dropout(16, 0.3), nl.Dense(16, 10)]
        net = nl.Network(layers, rng=7)
        nl.fit(net, digits.train, epochs=2)
        return net.params.tobytes() + net.state.tobytes()

    assert trained() == trained()


def test_loss_of_fit_becomes_the_networks(digits: Any) -> None:
    net = small()
    loss = nl.SoftmaxCrossEntropy(0.1)
    nl.fit(net, digits.train, loss=loss, epochs=1)
    assert net.loss is loss
    nl.fit(net, digits.train, epochs=1)
    assert net.loss is loss


def test_l2_is_part_of_the_recorded_and_the_evaluated_loss(digits: Any) -> None:
    net = small(l2=0.1)
    plain = nl.fit(net, digits.train, epochs=1)["loss"][0]
    weights = net.params[: net.n_weights]
    without = nl.Network.from_config(net.to_config() | {"l2": 0.0}, 0)
    without.restore(net.snapshot())
    difference = nl.evaluate(net, digits.test)["loss"] - nl.evaluate(without, digits.test)["loss"]
    assert difference == pytest.approx(0.05 * float(weights @ weights), rel=1e-4)
    assert plain > 2.3


def test_events_come_in_order_and_see_the_run(digits: Any) -> None:
    seen: list[Any] = []

    class Listener(nl.Callback):
        def on_fit_begin(self, run: Run) -> None:
            seen.append(("begin", run.epoch, run.steps_per_epoch))

        def on_gradients(self, run: Run) -> None:
            seen.append(("gradients", run.step))

        def on_step(self, run: Run) -> None:
            seen.append(("step", run.step))

        def on_epoch(self, run: Run) -> None:
            seen.append(("epoch", run.epoch, len(run.history)))

        def on_fit_end(self, run: Run) -> None:
            seen.append(("end", run.epoch))

    nl.fit(small(), digits.train, epochs=2, batch_size=1000, callbacks=[Listener()])
    steps = [[("gradients", k - 1), ("step", k)] for k in range(1, 5)]
    first, second = [*steps[0], *steps[1]], [*steps[2], *steps[3]]
    assert seen == [("begin", 0, 2), *first, ("epoch", 1, 1), *second, ("epoch", 2, 2), ("end", 2)]


def test_callback_may_clip_gradients(digits: Any) -> None:
    class Clip(nl.Callback):
        def on_gradients(self, run: Run) -> None:
            run.network.grads *= 1e-3 / np.linalg.norm(run.network.grads)

    net = small()
    before = net.params.copy()
    nl.fit(net, digits.train, optimizer=nl.SGD(1.0), epochs=1, batch_size=None, callbacks=[Clip()])
    assert np.linalg.norm(net.params - before) == pytest.approx(1e-3, rel=1e-3)


def test_early_stopping_restores_the_best_weights(digits: Any) -> None:
    net = small()
    stopping = nl.EarlyStopping(patience=2)
    # a rate so high that the loss jumps about
    history = nl.fit(
        net, digits.train, validation=digits.validation, optimizer=nl.Adam(0.1), epochs=100, callbacks=[stopping]
    )
    losses = history["validation_loss"]
    best = int(np.argmin(losses))
    assert history.best_epoch == best + 1 == len(history) - 2
    assert nl.evaluate(net, digits.validation)["loss"] == losses[best] < losses[-1]


def test_early_stopping_of_an_accuracy_looks_for_the_largest(digits: Any) -> None:
    stopping = nl.EarlyStopping(patience=3, monitor="validation_accuracy")
    history = nl.fit(small(), digits.train, validation=digits.validation, epochs=60, batch_size=32, callbacks=[stopping])
    accuracies = history["validation_accuracy"]
    assert history.best_epoch == int(np.argmax(accuracies)) + 1


def test_early_stopping_restores_batch_norm_state_too(digits: Any) -> None:
    net = nl.Network([nl.Dense(64, 16), nl.BatchNorm(16), nl.Activation(16, "relu"), nl.Dense(16, 10)], rng=0)
    stopping = nl.EarlyStopping(patience=2)
    history = nl.fit(
        net, digits.train, validation=digits.validation, optimizer=nl.Adam(0.1), epochs=60, callbacks=[stopping]
    )
    assert nl.evaluate(net, digits.validation)["loss"] == min(history["validation_loss"])


def test_early_stopping_can_be_used_again(digits: Any) -> None:
    stopping = nl.EarlyStopping(patience=1)
    for _ in range(2):
        history = nl.fit(small(), digits.train, validation=digits.validation, epochs=2, callbacks=[stopping])
        assert len(history) == 2


def test_ctrl_c_ends_training_after_the_step_and_keeps_what_was_learnt(digits: Any) -> None:
    class Interrupt(nl.Callback):
        def on_step(self, run: Run) -> None:
            if run.step == 5:
                os.kill(os.getpid(), signal.SIGINT)

    net = small()
    before, handler = net.params.copy(), signal.getsignal(signal.SIGINT)
    history = nl.fit(net, digits.train, epochs=50, batch_size=32, callbacks=[Interrupt()])
    assert history.interrupted and len(history) == 1
    assert (net.params != before).any() and np.isfinite(net.params).all()
    assert signal.getsignal(signal.SIGINT) is handler


def test_second_ctrl_c_ends_at_once(digits: Any) -> None:
    class Interrupt(nl.Callback):
        def on_step(self, run: Run) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        nl.fit(small(), digits.train, epochs=50, callbacks=[Interrupt()])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fit_works_outside_the_main_thread(digits: Any) -> None:
    lengths: list[int] = []
    thread = threading.Thread(target=lambda: lengths.append(len(nl.fit(small(), digits.train, epochs=1))))
    thread.start()
    thread.join()
    assert lengths == [1]


def test_evaluate_in_chunks_equals_evaluate_at_once(digits: Any) -> None:
    net = small(loss=nl.SoftmaxCrossEntropy())
    x, y = np.tile(digits.train.x, (2, 1)), np.tile(digits.train.y, 2)  # 2,514 rows: three chunks
    figures = nl.evaluate(net, (x, y))
    net.reserve(len(x))
    value, _ = nl.SoftmaxCrossEntropy()(net.forward(x), y)
    assert figures["loss"] == pytest.approx(value, rel=1e-5)
    assert figures["accuracy"] == nl.accuracy(net.predict(x), y)


def test_evaluate_and_predict_leave_model_and_generator_alone(digits: Any) -> None:
    net = nl.Network([nl.Dense(64, 8), nl.BatchNorm(8), nl.Dropout(8, 0.5), nl.Dense(8, 10)], rng=0)
    nl.fit(net, digits.train, epochs=1)
    before = net.params.tobytes(), net.state.tobytes(), net.rng.bit_generator.state
    nl.evaluate(net, digits.test)
    net.predict_proba(digits.test.x)
    assert before == (net.params.tobytes(), net.state.tobytes(), net.rng.bit_generator.state)


def test_nothing_is_printed_without_a_terminal(digits: Any, capfd: pytest.CaptureFixture[str]) -> None:
    nl.fit(small(), digits.train, validation=digits.validation, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_bar_on_a_terminal_shows_loss_and_accuracy(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            shown.append(text)

        def flush(self) -> None:
            pass

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(
        "tqdm.std.time", iter(range(0, 10_000_000, 5)).__next__
    )  # the bar waits one second before it appears
    nl.fit(small(), digits.train, validation=digits.validation, epochs=2)
    text = "".join(shown)
    assert "epoch 2/2 loss" in text and "accuracy" in text and "validation" in text
    shown.clear()
    nl.fit(small(), digits.train, epochs=2, progress=False)
    assert shown == []


def test_divergence_after_good_epochs_keeps_the_last_good_weights(digits: Any) -> None:
    kept: list[Any] = []

    class Poison(nl.Callback):
        def on_epoch(self, run: Run) -> None:
            kept.append(run.network.params.copy())

        def on_gradients(self, run: Run) -> None:
            if run.epoch == 3:
                run.network.grads[5] = np.nan

    net = small()
    with pytest.raises(nl.errors.DivergenceError, match=r"at epoch 3, .* as it was after epoch 2; try a learning rate of"):
        nl.fit(net, digits.train, epochs=5, callbacks=[Poison()])
    assert net.params.tobytes() == kept[1].tobytes()


def test_last_step_of_an_epoch_is_checked_too(digits: Any) -> None:
    class Poison(nl.Callback):
        def on_gradients(self, run: Run) -> None:
            run.network.grads[5] = np.inf

    net = small()
    with pytest.raises(nl.errors.DivergenceError, match="at epoch 1"):
        nl.fit(net, digits.train, epochs=1, batch_size=None, callbacks=[Poison()])
    assert np.isfinite(net.params).all()


def test_divergence_names_the_first_layer_that_is_not_finite(digits: Any) -> None:
    class Poison(nl.Callback):
        def on_step(self, run: Run) -> None:
            run.network.layers[1].W[0, 0] = np.nan

    with pytest.raises(nl.errors.DivergenceError, match=r"first not finite in layer 1 Dense\(16 -> 10\)"):
        nl.fit(small(), digits.train, epochs=1, callbacks=[Poison()])


def test_steady_step_of_the_whole_loop_allocates_no_batch(digits: Any) -> None:
    import tracemalloc

    x = np.random.default_rng(0).random((2048, 784), np.float32)
    y = np.arange(2048) % 10
    peaks: list[int] = []

    class Watch(nl.Callback):
        def on_step(self, run: Run) -> None:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
            self.base = tracemalloc.get_traced_memory()[0]
            peaks[-1] -= getattr(self, "before", self.base)
            self.before = self.base

    net = nl.Network([nl.Dense(784, 100, "relu"), nl.Dropout(100, 0.1), nl.BatchNorm(100), nl.Dense(100, 10)], rng=0)
    tracemalloc.start()
    nl.fit(net, (x, y), optimizer=nl.Adam(1e-3), epochs=2, batch_size=512, callbacks=[Watch()])
    tracemalloc.stop()
    assert len(peaks) == 8
    assert max(peaks[2:4] + peaks[6:]) < 64_000  # the first steps warm up; an epoch's first one draws the order


def weighted_rows(seed: int = 0) -> tuple[Any, Any, Any]:
    """Return x (12, 4), labels, and whole weights, some of them zero."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(12, 4)), np.arange(12) % 3, np.array([0, 1, 2, 3, 1, 0, 2, 1, 1, 4, 1, 2])


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nl.SoftmaxCrossEntropy(0.1), lambda y: y),
        (nl.SoftmaxCrossEntropy(class_weights=[1, 3, 0.5]), lambda y: y),
        (nl.SoftmaxCrossEntropy(), lambda y: np.eye(3)[y]),
        (nl.SigmoidCrossEntropy(), lambda y: np.eye(3)[y]),
        (nl.Hinge(), lambda y: y),
        (nl.Huber(), lambda y: np.cos(np.arange(36.0).reshape(12, 3))),
    ],
)
def test_whole_weights_equal_repeated_rows_in_fit_and_evaluate(loss: Any, target: Any) -> None:
    x, y, weight = weighted_rows()
    y, many = target(y), np.repeat(np.arange(12), weight)
    found = []
    for data in ((x, y, weight), (x[many], y[many])):
        net = nl.Network([nl.Dense(4, 5, "tanh"), nl.Dense(5, 3)], rng=0, dtype="float64", l2=0.1)
        history = nl.fit(net, data, validation=data, loss=loss, optimizer=nl.SGD(0.3), epochs=5, batch_size=None)
        found.append((net.params, history, nl.evaluate(net, data)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9, atol=1e-12)
    assert found[0][2] == pytest.approx(found[1][2], rel=1e-9)
    for key in ("loss", "validation_loss", *(("accuracy", "validation_accuracy") if loss.classifies else ())):
        assert found[0][1][key] == pytest.approx(found[1][1][key], rel=1e-9)


@pytest.mark.parametrize("loss", [nl.SoftmaxCrossEntropy(), nl.SoftmaxCrossEntropy(class_weights=[1, 3, 0])])
def test_recorded_figures_of_mini_batches_are_weighted_means(loss: Any) -> None:
    x, y, weight = weighted_rows()
    net = nl.Network([nl.Dense(4, 3)], rng=0, dtype="float64")
    nl.fit(net, (x, y, weight), loss=loss, optimizer=nl.SGD(1e-300), epochs=1, batch_size=5)
    history = nl.fit(net, (x, y, weight), optimizer=nl.SGD(1e-300), epochs=1, batch_size=1)  # some batches weigh nothing
    own = weight * np.array(loss.class_weights or [1, 1, 1])[y]
    each = [nl.SoftmaxCrossEntropy()(net.forward(x[n : n + 1]), y[n : n + 1])[0] for n in range(12)]
    assert history["loss"][0] == pytest.approx(np.average(each, weights=own), rel=1e-12)
    right = np.average(net.predict(x) == y, weights=weight)
    assert history["accuracy"][0] == pytest.approx(right, rel=1e-12)
    assert nl.evaluate(net, (x, y, weight)) == pytest.approx({"loss": history["loss"][0], "accuracy": right}, rel=1e-12)


@pytest.mark.parametrize("call", ["fit", "fit: validation", "evaluate"])
@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (np.ones(11), nl.errors.ShapeError, "weight must have shape (12,), one number for each row, got (11,)"),
        (np.ones((12, 1)), nl.errors.ShapeError, "weight must have shape (12,), one number for each row, got (12, 1)"),
        (1.0, nl.errors.ShapeError, "weight must have shape (12,), one number for each row, got ()"),
        (["a"] * 12, nl.errors.DTypeError, "weight must hold real numbers, got dtype <U1"),
        (
            np.where(np.arange(12) == 3, np.nan, 1),
            nl.errors.ArgumentError,
            "weight must hold finite numbers, got 1 NaN or infinite, the first nan at weight[3]",
        ),
        (np.arange(12) - 2.5, nl.errors.ArgumentError, "weight must be at least 0, got -2.5 at row 0"),
        (np.zeros(12), nl.errors.ArgumentError, "weight must be above 0 in at least 1 row, got 0 in all 12"),
    ],
)
def test_weight_that_does_not_fit_says_so_and_changes_nothing(call: str, weight: Any, error: Any, message: str) -> None:
    x, y, _ = weighted_rows()
    net = nl.Network([nl.Dense(4, 3)], rng=0, loss=nl.SoftmaxCrossEntropy())
    before = net.params.tobytes()
    with pytest.raises(error) as caught:
        if call == "fit":
            nl.fit(net, (x, y, weight))
        elif call == "evaluate":
            nl.evaluate(net, (x, y, weight))
        else:
            nl.fit(net, (x, y), validation=(x, y, weight))
    assert str(caught.value) == f"{call}: {message}"
    assert net.params.tobytes() == before


def test_weight_of_none_is_no_weight() -> None:
    x, y, _ = weighted_rows()
    nets = [nl.Network([nl.Dense(4, 3)], rng=0) for _ in range(2)]
    nl.fit(nets[0], (x, y), epochs=2)
    nl.fit(nets[1], (x, y, None), epochs=2)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


def test_sigmoid_of_one_output_learns_two_classes_and_predicts_labels() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    y = (x[:, 0] > x[:, 1]).astype(int)
    net = nl.Network([nl.Dense(2, 1)], rng=0)
    history = nl.fit(net, (x, y), loss=nl.SigmoidCrossEntropy(), optimizer=nl.Adam(0.1), epochs=20, batch_size=20)
    predicted = net.predict(x)
    assert predicted.shape == (200,)
    assert set(predicted) == {0, 1}
    assert history["accuracy"][-1] > 0.95
    assert nl.evaluate(net, (x, y))["accuracy"] == nl.accuracy(predicted, y) > 0.95
    p = net.predict_proba(x)
    assert ((p[:, 0] > 0.5) == predicted).all()


def test_sigmoid_of_several_outputs_predicts_a_matrix_and_counts_rows_that_are_wholly_right() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = (x > 0).astype(int)
    net = nl.Network([nl.Dense(3, 3)], rng=0)
    nl.fit(net, (x, y), loss=nl.SigmoidCrossEntropy(), optimizer=nl.Adam(0.1), epochs=20, batch_size=20)
    predicted = net.predict(x)
    assert predicted.shape == (200, 3)
    assert set(predicted.ravel()) == {0, 1}
    accuracy = nl.evaluate(net, (x, y))["accuracy"]
    assert accuracy == (predicted == y).all(axis=1).mean() == nl.accuracy(predicted, y)
    assert accuracy > 0.9


@pytest.mark.parametrize(
    "loss",
    [
        nl.SoftmaxCrossEntropy(class_weights=[1, 2, 0.5]),
        nl.SigmoidCrossEntropy(0.1, positive_weights=[1, 2, 3]),
        nl.Pinball([0.1, 0.5, 0.9]),
    ],
)
def test_numbers_of_a_loss_survive_the_model_file(loss: Any, tmp_path: Any) -> None:
    net = nl.Network([nl.Dense(4, 3)], rng=0, loss=loss)
    nl.save(net, tmp_path / "m.safetensors")
    again = nl.load(tmp_path / "m.safetensors").loss
    assert type(again) is type(loss)
    assert {k: v for k, v in vars(again).items() if v} == {k: v for k, v in vars(loss).items() if v}


def test_evaluate_counts_the_rows_on_a_terminal_if_asked(digits: Any, bars: list[Any]) -> None:
    net = small(loss=nl.SoftmaxCrossEntropy())
    nl.evaluate(net, digits.train, progress=False)
    assert bars == []
    nl.evaluate(net, digits.train)
    assert [(bar.desc, bar.total, bar.n, bar.unit) for bar in bars] == [("evaluating", 1257, 1257, "row")]
