import io
import re
import sys

import pytest

from numlp.progress import progress_bar, write_line


def test_progress_bar_counts_under_its_description_and_is_gone_at_the_end(terminal, monkeypatch):
    monkeypatch.setattr("tqdm.std.time", iter(range(0, 10_000, 5)).__next__)  # seconds go by
    with progress_bar(4, "counting", unit="row") as bar:
        bar.update(3)
        bar.refresh()
        assert re.search("counting: +75%.* 3/4 .*row", terminal.getvalue())
    assert re.search("\r +\r$", terminal.getvalue())


def test_progress_bar_of_less_than_a_second_shows_nothing(terminal, monkeypatch):
    monkeypatch.setattr("tqdm.std.time", lambda: 0.0)
    with progress_bar(4, "counting") as bar:
        bar.update(4)
    assert "counting" not in terminal.getvalue()


@pytest.mark.parametrize(("show", "stderr"), [(True, io.StringIO()), (True, None), (False, "terminal")])
def test_progress_bar_is_silent_without_a_terminal_and_on_request(terminal, monkeypatch, show, stderr):
    if stderr != "terminal":
        monkeypatch.setattr("numlp.progress.sys.stderr", stderr)
    with progress_bar(4, "counting", show) as bar:
        assert bar is None
    assert terminal.getvalue() == ""


class Flushed(io.StringIO):
    """Keeps what had been written when it was flushed last."""

    seen = ""

    def flush(self):
        self.seen = self.getvalue()


@pytest.mark.parametrize("loaded", [True, False])
def test_write_line_is_there_at_once_whether_there_were_bars_or_not(monkeypatch, loaded):
    if loaded:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    file = Flushed()
    write_line("epoch 1", file)
    assert file.seen == "epoch 1\n"


def test_write_line_makes_a_bar_step_aside_and_come_back(terminal):
    with progress_bar(4, "counting") as bar:
        bar.refresh()
        write_line("epoch 1", terminal)
        assert re.search("counting.*\r +\repoch 1\n\rcounting", terminal.getvalue())
