"""The documents keep their word: their code runs, their links lead somewhere, their commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from numlp.cli import app

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = (
    *READMES,
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/results.md",
    "docs/catalogue.md",
    "docs/speed.md",
    "docs/checkpoints.md",
    "docs/diagnosis.md",
    "docs/estimators.md",
    "docs/tables.md",
    "docs/pictures.md",
    "docs/layers.md",
)


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", READMES)
def test_python_of_a_readme_runs(document: str, tmp_path: Path) -> None:
    code = "\n".join(blocks(document, "python"))
    process = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "'accuracy': 0.9" in process.stdout and "dW0" in process.stdout
    assert (tmp_path / "digits.safetensors").exists()


def test_python_of_the_page_on_checkpoints_runs(tmp_path: Path) -> None:
    code = "\n".join(blocks("docs/checkpoints.md", "python"))
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_python_of_the_page_on_pictures_runs(tmp_path: Path) -> None:
    code = "\n".join(blocks("docs/pictures.md", "python"))
    process = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout == "(1, 784)\n", process.stderr


def test_python_of_the_guide_to_tables_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    code = "\n".join(blocks("docs/tables.md", "python"))
    process = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "R2 0.9" in process.stdout and "'size': " in process.stdout


def test_commands_of_the_guide_to_tables_print_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    exec(blocks("docs/tables.md", "python")[0], {})
    (text,) = blocks("docs/tables.md", "console")
    for part in text.split("$ numlp ")[1:]:
        command, expected = part.split("\n", 1)
        result = CliRunner().invoke(app, command.split())
        # other machines round otherwise
        said, promised = (
            re.sub(r"(?<=[ .])[\d.]+(?= |$)", "#", out, flags=re.MULTILINE) for out in (result.stdout, expected)
        )
        assert (result.exit_code, said) == (0, promised), result.output


def test_readmes_have_the_same_code_and_commands() -> None:
    first, second = READMES
    for language in ("python", "console"):
        pairs = zip(blocks(first, language), blocks(second, language), strict=True)
        assert all(re.sub(r" *#.*", "", a) == re.sub(r" *#.*", "", b) for a, b in pairs)
    assert blocks(first, "text") == blocks(second, "text")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("https://"):
            assert ((ROOT / document).parent / target).exists(), target


@pytest.mark.parametrize("document", READMES)
def test_commands_and_flags_of_a_readme_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    named = re.findall(r"[`$] ?numlp ([a-z]+)[ `]", text)
    assert set(named) == set(commands)
    options = {flag for command in commands.values() for parameter in command.params for flag in parameter.opts}
    assert set(re.findall(r"(?<![-\w])--[a-z][a-z-]+", text)) <= options


def test_python_of_the_page_on_estimators_runs(tmp_path: Path) -> None:
    code = "\n".join(blocks("docs/estimators.md", "python"))
    process = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:Stochastic Optimizer", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert re.search(r"accuracy 0\.9\d", process.stdout) and re.search(r"inside 0\.[78]", process.stdout)
    assert "sklearn.neural_network" in process.stdout and (tmp_path / "digits.safetensors").exists()


def test_page_on_layers_says_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = blocks("docs/layers.md", "python")
    (tmp_path / "mylayers.py").write_text("\n".join(code), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("mylayers", None)
    command, expected = blocks("docs/layers.md", "console")[0].removeprefix("$ numlp ").split("\n", 1)
    result = CliRunner().invoke(app, command.split())
    promised = re.findall(r"print\(.*# (.*)", "".join(code))
    assert [line for line in result.stdout.splitlines() if line in promised] == promised
    assert re.sub(r"\S+e-\d+", "#", result.stdout.splitlines(keepends=True)[-1]) == re.sub(r"\S+e-\d+", "#", expected)
    for name, checked in {"check_full": "dX, dW", "check_functions": "dX, dW", "Full": None}.items():
        result = CliRunner().invoke(app, ["verify", f"mylayers:{name}"])
        assert (result.exit_code, f"checked: {checked}  ok" in result.stdout) == ((0, True) if checked else (2, False))
    sys.modules.pop("mylayers", None)
