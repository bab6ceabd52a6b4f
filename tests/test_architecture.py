"""The house: a file imports only what lies below it, the core stays small, and one sitting is enough to read it."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import numlp as nl
from numlp import activations, losses, network, optimizers, training
from numlp.kernels import reference

SRC = Path(nl.__file__).parent

# a module may import modules of its own line and of the lines above it; a folder stands for all its modules
FLOORS = (
    (
        "numlp.version",
        "numlp.errors",
        "numlp.finite",
        "numlp.files",
        "numlp.progress",
        "numlp.signals",
        "numlp.blas",
        "numlp.exclusive",
    ),
    ("numlp.differences", "numlp.undeclared", "numlp.plain_gradients"),
    (
        "numlp.attributes",
        "numlp.config",
        "numlp.working_copies",
        "numlp.arena",
        "numlp.tensors",
        "numlp.states",
        "numlp.kernels",
    ),
    ("numlp.activations", "numlp.initializers", "numlp.hints"),
    ("numlp.layers", "numlp.losses", "numlp.schedules", "numlp.optimizers", "numlp.metrics", "numlp.data"),
    ("numlp.copies", "numlp.inference", "numlp.network_settings"),
    ("numlp.network",),
    ("numlp.run",),
    ("numlp.checkpoint", "numlp.callbacks", "numlp.divergence", "numlp.resumption", "numlp.checkpointer", "numlp.gradients"),
    ("numlp.epoch_lines",),
    ("numlp.findings", "numlp.diagnosis", "numlp.guess", "numlp.structure", "numlp.arguments"),
    ("numlp.training", "numlp.listeners", "numlp.explain", "numlp.verification"),
    ("numlp.search", "numlp.recipes"),
    ("numlp.estimators",),
    ("numlp.cli", "numlp.__main__"),
)
# third-party packages, and the only files or folders that may import them
OUTSIDE = {
    "numpy": "numlp",
    "numba": "numlp.kernels.fused",
    "llvmlite": "numlp.kernels.fused",
    "safetensors": "numlp.checkpoint numlp.verification",
    "sklearn": "numlp.data.digits numlp.estimators",
    "pyarrow": "numlp.data.arrow_columns numlp.data.frames numlp.data.text_columns numlp.data.number_texts",
    "scipy": "numlp.activations numlp.optimizers.lbfgs numlp.estimators",
    "pooch": "numlp.data",
    "requests": "numlp.data.download",
    "urllib3": "numlp.data.download",
    "PIL": "numlp.data.images",
    "tqdm": "numlp.progress",
    "typer": "numlp.cli",
    "threadpoolctl": "numlp.blas",
}
MODULES = {
    "numlp" + "".join(f".{part}" for part in path.relative_to(SRC).with_suffix("").parts if part != "__init__"): path
    for path in SRC.rglob("*.py")
}


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def floor(module: str) -> int:
    matches = [i for i, names in enumerate(FLOORS) for name in names if module == name or module.startswith(name + ".")]
    assert len(matches) == 1, f"{module} has no floor, or two"
    return matches[0]


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"numlp"}))
def test_module_imports_nothing_from_above(module: str) -> None:
    faces = within(module, "numlp.cli") or module == "numlp.__main__"
    for name in imports(MODULES[module]):
        if name.split(".")[0] == "numlp":
            if name == "numlp":
                assert faces, f"{module} imports the package itself, which lies above it"
            else:
                assert floor(name) <= floor(module), f"{module} imports {name}, which lies above it"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_imports_outside_packages_where_they_belong(module: str) -> None:
    for name in imports(MODULES[module]):
        top = name.split(".")[0]
        if top != "numlp" and top not in sys.stdlib_module_names:
            assert any(within(module, place) for place in OUTSIDE.get(top, "").split()), f"{module} imports {name}"


def test_modules_have_no_import_cycle() -> None:
    inner = set(MODULES) - {"numlp"}
    graph = {module: set(imports(path)) & inner for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for name in graph[module]:
                visit(name, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_import_numlp_loads_numpy_and_the_standard_library_only() -> None:
    code = "import sys, numpy.random; before = set(sys.modules); import numlp; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"numlp", "numpy"}
    assert foreign == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_file_and_functions_stay_short(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1  # of the body: a docstring may be as long as it needs
            assert length <= 40, f"{module}.{node.name} has {length} lines"


def test_names_are_those_of_the_design() -> None:
    assert not {path.stem for path in MODULES.values()} & {"utils", "helpers", "common", "base"}
    assert nl.__all__ == sorted(nl.__all__)
    public = {name for name in vars(nl) if not name.startswith("_") and not inspect.ismodule(getattr(nl, name))}
    assert public | {"__version__"} == set(nl.__all__)


def test_public_names_have_docstrings_with_source_or_example() -> None:
    for name in set(nl.__all__) - {"__version__"}:
        doc = inspect.getdoc(getattr(nl, name)) or ""
        assert len(doc.splitlines()) >= 3, name
        if inspect.isfunction(getattr(nl, name)):
            assert "Examples" in doc, name


def test_one_step_can_be_read_in_seven_files_and_1200_lines() -> None:
    path = [
        training.fit,
        training._train_epoch,
        network.Network,
        nl.Layer,
        nl.Dense,
        activations.Activation,
        reference.affine,
        reference.affine_backward,
        reference.relu,
        reference.relu_backward,
        losses.Loss,
        losses.ClassificationLoss,
        losses.SoftmaxCrossEntropy,
        reference.one_hot,
        reference.softmax_cross_entropy,
        optimizers.Optimizer,
        optimizers.SGD,
        reference.sgd,
    ]
    assert len({inspect.getsourcefile(part) for part in path}) <= 7
    assert sum(len(inspect.getsource(part).splitlines()) for part in path) <= 1200


def test_three_calls_lead_from_the_public_name_to_matmul() -> None:
    assert "layer.forward(x, training)" in inspect.getsource(nl.Network.forward)
    assert "kernels.affine(x, self._W, self._b, self._scale, self._rectify, z, _spare(self._dtype))" in inspect.getsource(
        nl.Dense.forward
    )
    assert "np.matmul(x, W, out=out)" in inspect.getsource(reference.affine)


def test_loop_stands_unwrapped_in_training() -> None:
    loop = inspect.getsource(training._train_epoch)
    steps = [
        "for x, target, weight in batches:",
        "network.forward(x, training=True)",
        "loss(y, target, weight)",
        "network.backward(dy)",
        'notify("on_gradients")',
        "optimizer.step(network.params, network.grads)",
    ]
    places = [loop.index(step) for step in steps]
    assert places == sorted(places)


# what can run code that a file holds: modules, functions, and methods or functions of modules by their last name
BANNED_MODULES = set(
    "pickle cPickle _pickle pickletools marshal shelve dbm dill joblib cloudpickle yaml ruamel jsonpickle code codeop runpy "
    "imp importlib zipimport pydoc subprocess pty ctypes cffi xmlrpc multiprocessing".split()
)
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "execfile", "input", "breakpoint"}
BANNED_METHODS = set(
    "system popen execv execve execl execlp execvp spawnl spawnv posix_spawn fork literal_eval unsafe_load full_load "
    "find_class "
    "read_pickle from_pickle loadtxt genfromtxt fromregex import_module exec_module load_module get_type_hints".split()
)
# a module -> what it may do all the same, and why
ALLOWED = {
    "numlp.verification": {"importlib", "import_module"},  # `numlp verify module:name`: the user names a module of his own
    # where pip put TBB, which is loaded from there; an instruction that is written down
    "numlp.kernels.fused.threads": {"ctypes", "importlib", "code.load"},
    "numlp.kernels.fused.products": {"ctypes"},  # the addresses of the BLAS that NumPy has loaded
    "numlp.kernels.fused.vectors": {"b.load"},  # an instruction that is written down
    "numlp.cli.doctor": {"subprocess", "importlib", "import_module"},  # itself, elsewhere; versions
}


def dangers(path: Path) -> Iterator[str]:
    """Yield everything in a file that could run what another file holds."""
    yield from BANNED_MODULES & {name.split(".")[0] for name in imports(path)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and node.id in BANNED_CALLS:  # also where it is only handed on
            yield node.id
        if isinstance(node, ast.Attribute) and node.attr in BANNED_METHODS:
            yield node.attr
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "shell"):
            yield str(node.arg)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("load", "loads"):
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("json", "nl")):
                yield ast.unparse(node.func)  # np.load, torch.load, yaml.load


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_from_a_file_is_executed(module: str) -> None:
    assert set(dangers(MODULES[module])) <= ALLOWED.get(module, set())


DANGEROUS = """
import pickle, yaml; from marshal import loads | eval("1") | f = exec | np.load(p) | np.load(p, allow_pickle=True)
yaml.load(s) | os.system("x") | run("x", shell=True) | __import__("os") | compile(s, "", "exec") | torch.load(p)
unpickler.find_class("os", "system") | import importlib; importlib.import_module(s) | import shelve
from joblib import load | pandas.read_pickle(p) | ast.literal_eval(s)
"""


@pytest.mark.parametrize("code", [part.strip() for part in re.split(r"[|\n]", DANGEROUS) if part.strip()])
def test_dangerous_code_is_seen(code: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(code)
    assert list(dangers(tmp_path / "a.py"))


def test_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (SRC / "py.typed").is_file()
