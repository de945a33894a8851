"""The rings: which way imports point, which libraries each ring uses, what a process loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tunelab"

# Ring -> the rings that it may import besides itself.
INWARD: dict[str, set[str]] = {
    "": {"service"},  # the package itself: its version, and `load_study`
    "errors": set(),
    "training": {"errors"},
    "spec": {"training", "errors"},
    "datasets": {"spec", "training", "errors"},
    "storage": {"datasets", "spec", "training", "errors"},
    "execution": {"storage", "datasets", "spec", "training", "errors"},
    "tuning": {"storage", "datasets", "spec", "training", "errors"},
    "service": {"tuning", "execution", "storage", "datasets", "spec", "training", "errors"},
    "cli": {"service", "storage", "spec", "errors"},
}

# Ring -> the libraries that its modules may name.
LIBRARIES: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "training": {"numpy"},
    "spec": {"pydantic", "pydantic_core", "ruamel", "cronsim"},
    "datasets": {"numpy", "sklearn", "pyarrow", "fsspec"},
    "storage": {"sqlalchemy", "alembic", "numpy"},
    "execution": {"threadpoolctl", "numpy", "sqlalchemy"},
    "tuning": {"optuna", "numpy", "scipy", "sqlalchemy"},
    "service": {
        "sqlalchemy",
        "numpy",
        "mlflow",
        "pandas",
        "matplotlib",
        "PIL",
        "distributed",
        "jinja2",
        "markupsafe",
        "plotly",
    },
    "cli": {"typer", "rich", "sqlalchemy"},
}

# Libraries that take long to load -> the only modules that may name them at all, and whether
# they may do so outside of functions.
CONFINED: dict[str, tuple[str, bool]] = {
    "mlflow": ("tunelab.service.mirror tunelab.service.dashboard", True),
    "pandas": ("tunelab.service.mirror", True),
    "matplotlib": ("tunelab.service.mirror tunelab.service.demos", True),
    "PIL": ("tunelab.service.demos.animation", True),
    "jinja2": ("tunelab.service.reports", True),
    "markupsafe": ("tunelab.service.reports", True),
    "plotly": ("tunelab.service.reports", False),
    "distributed": ("tunelab.service.executors.dask", True),
    "sklearn": ("tunelab.datasets", False),
    "pyarrow": ("tunelab.datasets.sources", False),
    "scipy": ("tunelab.tuning.ranking tunelab.tuning.samplers tunelab.tuning.sobol", False),
    "fsspec": ("tunelab.datasets.data_store", False),
    "cronsim": ("tunelab.spec.cron", True),
    "alembic": ("tunelab.storage.schema tunelab.storage.migrations", True),
}


@dataclass(frozen=True)
class Import:
    """One imported module, ``tunelab.storage.tables`` or ``sqlalchemy``, and where it is named."""

    importer: str
    target: str
    names: tuple[str, ...]  # what is taken from it; empty for a plain import
    line: int
    inside_function: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def ring(module: str) -> str:
    _, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return "cli" if name == "__main__" else name  # `python -m tunelab` is the command line


def parse(module: str) -> list[Import]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found: list[Import] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(
                    Import(module, alias.name, (), child.lineno, inside) for alias in child.names
                )
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}:{child.lineno}: a relative import"
                names = tuple(alias.name for alias in child.names)
                found.extend(_targets(module, str(child.module), names, child.lineno, inside))
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            visit(child, inside or function)

    visit(tree, inside=False)
    return found


def _targets(
    module: str, source: str, names: tuple[str, ...], line: int, inside: bool
) -> Iterator[Import]:
    """``from package import module`` means the module, everything else what is named."""
    submodules = [name for name in names if f"{source}.{name}" in MODULES]
    for name in submodules:
        yield Import(module, f"{source}.{name}", (), line, inside)
    if rest := tuple(name for name in names if name not in submodules):
        yield Import(module, source, rest, line, inside)


IMPORTS = [found for module in MODULES for found in parse(module)]
INTERNAL = [found for found in IMPORTS if found.target.split(".")[0] == "tunelab"]
LIBRARY = [
    found
    for found in IMPORTS
    if found.target.split(".")[0] not in {"tunelab", *sys.stdlib_module_names}
]


def lists(offenders: list[Import]) -> list[str]:
    return [str(found) for found in offenders]


def test_every_ring_is_known():
    assert {ring(module) for module in MODULES} == INWARD.keys() == LIBRARIES.keys()
    # The check would be worth nothing if it saw no imports.
    assert len(INTERNAL) > 200
    assert len(LIBRARY) > 40
    assert {found.target for found in INTERNAL} <= MODULES.keys()


def test_imports_point_inward():
    outward = [
        found
        for found in INTERNAL
        if ring(found.target) not in INWARD[ring(found.importer)] | {ring(found.importer), ""}
    ]
    assert lists(outward) == []


def test_modules_import_each_other_without_cycles():
    """Also not by way of imports inside functions."""
    graph = {module: set[str]() for module in MODULES}
    for found in INTERNAL:
        if found.importer != found.target:
            graph[found.importer].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_ring_uses_its_own_libraries_only():
    strange = [
        found
        for found in LIBRARY
        if found.target.split(".")[0] not in LIBRARIES[ring(found.importer)]
    ]
    assert lists(strange) == []


@pytest.mark.parametrize("library", CONFINED)
def test_libraries_that_take_long_to_load_stay_where_they_are_needed(library):
    homes, at_top = CONFINED[library]
    astray = [
        found
        for found in LIBRARY
        if found.target.split(".")[0] == library
        and not (
            any(f"{found.importer}.".startswith(f"{home}.") for home in homes.split())
            and (at_top or found.inside_function)
        )
    ]
    assert lists(astray) == []


def test_statements_in_sql_are_written_in_the_storage_ring_alone():
    """Outer rings pass a connection on, and so may name its type."""
    written = [
        found
        for found in LIBRARY
        if found.target.split(".")[0] == "sqlalchemy"
        and ring(found.importer) != "storage"
        and found.names != ("Connection",)
    ]
    assert lists(written) == []


def loaded_by(*modules: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after it imported ``modules``."""
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {name.split(".")[0] for name in json.loads(result.stdout)}


def test_a_worker_loads_nothing_but_what_training_needs():
    loaded = loaded_by("tunelab.execution.worker")
    heavy = {"optuna", "mlflow", "sklearn", "scipy", "pandas", "matplotlib", "alembic", "plotly"}
    assert loaded & (heavy | {"ruamel", "typer", "rich"}) == set()
    assert {"numpy", "sqlalchemy"} <= loaded


def test_a_slot_of_a_dask_worker_loads_neither_what_proposes_nor_what_shows_trials():
    loaded = loaded_by("tunelab.service.executors.slot")
    heavy = {"optuna", "mlflow", "sklearn", "scipy", "pandas", "matplotlib", "alembic"}
    assert loaded & (heavy | {"distributed", "ruamel", "typer", "rich"}) == set()


def test_the_process_that_runs_a_study_loads_neither_mlflow_nor_the_data_libraries():
    loaded = loaded_by("tunelab.service.running", "tunelab.tuning.coordinator")
    assert loaded & {"mlflow", "sklearn", "scipy", "pandas", "matplotlib", "alembic"} == set()
    assert "optuna" in loaded


def test_importing_the_package_loads_none_of_its_libraries():
    loaded = loaded_by("tunelab")
    assert loaded & {"numpy", "optuna", "sqlalchemy", "pydantic", "typer", "mlflow"} == set()


def test_reading_a_study_waits_for_no_optuna():
    loaded = loaded_by("tunelab.service.running", "tunelab.service.summary")
    assert "optuna" not in loaded


def test_dask_is_loaded_by_those_alone_who_ask_for_it():
    loaded = loaded_by("tunelab.service.running", "tunelab.service.executors.choice")
    assert loaded & {"dask", "distributed"} == set()
