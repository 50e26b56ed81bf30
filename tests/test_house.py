"""The house of ARCHITECTURE: the order of its rooms, its front door, and what opening the door costs."""

from __future__ import annotations

import ast
import inspect
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import career_hf


PACKAGE = Path(career_hf.__file__).parent
# A room imports only rooms before it. The last ones are files beside the rooms; the door is `career_hf/__init__.py`.
ROOMS = (
    ("occupations", "careers", "figures", "sources", "models", "encoding", "rivals", "original", "training")
    + ("evaluation", "representing", "forecasting", "explaining", "wages", "simulation", "sharing")
    + ("trained_models", "ensembles", "comparing", "representation_tables", "pipelines", "first_steps", "door", "cli")
)  # fmt: skip
# Files beside the rooms that every room may import, and those that make up the door: `import career_hf`.
FOR_ALL = ("argument_kinds", "number_ranges", "readable_values", "registration", "version")
DOOR = ("",)
WITHOUT_MODELS = ("occupations", "careers", "figures", "sources")
HEAVY = ("torch", "transformers", "pandas", "datasets", "numpy", "pyarrow")
COMMANDS_IMPORT = {"typer", "rich", *sys.stdlib_module_names}


@dataclass(frozen=True)
class Import:
    """One import of one file, wherever it stands: in the file, in a function or under TYPE_CHECKING."""

    importer: str
    imported: str
    line: int
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def module_files() -> dict[str, list[Path]]:
    """The files of every module: its code, and its stub where the package reads its public names from one."""
    files: dict[str, list[Path]] = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        files.setdefault(".".join(parts[:-1] if parts[-1] == "__init__" else parts), []).append(path)
    return files


MODULES = module_files()


def imports_of(module: str) -> Iterator[Import]:
    for path in MODULES[module]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        guards = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ]
        typing_only = {id(inner) for guard in guards for inner in ast.walk(guard)}
        package = module if path.stem == "__init__" else module.rpartition(".")[0]
        for node in ast.walk(tree):
            for imported in imported_modules(node, package):
                yield Import(module, imported, node.lineno, id(node) in typing_only)


def imported_modules(node: ast.AST, package: str) -> Iterator[str]:
    """The modules that one statement imports: of `from ..careers import columns`, columns and not careers."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        source = ".".join(part for part in (above, node.module) if part)
        for alias in node.names:
            yield f"{source}.{alias.name}" if f"{source}.{alias.name}" in MODULES else source


IMPORTS = list(dict.fromkeys(imported for module in MODULES for imported in imports_of(module)))
OWN_IMPORTS = [entry for entry in IMPORTS if entry.imported.split(".")[0] == "career_hf"]


def room_of(module: str) -> str:
    top = module.removeprefix("career_hf").removeprefix(".").split(".")[0]
    return "door" if top in DOOR else top


def names_of(entries: list[Import]) -> str:
    return "\n".join(map(str, entries))


def test_every_module_is_in_a_room():
    assert {room_of(module) for module in MODULES} <= {*ROOMS, *FOR_ALL}


def test_a_room_imports_only_rooms_before_it():
    def allowed(entry: Import) -> bool:
        importer, imported = room_of(entry.importer), room_of(entry.imported)
        if imported in FOR_ALL:
            return True
        return importer not in FOR_ALL and ROOMS.index(imported) <= ROOMS.index(importer)

    assert names_of([entry for entry in OWN_IMPORTS if not allowed(entry)]) == ""


def test_no_imports_form_a_circle():
    needs: dict[str, set[str]] = {module: set() for module in MODULES}
    for entry in OWN_IMPORTS:
        if entry.imported != entry.importer:
            needs[entry.importer].add(entry.imported)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(f"modules that import each other in a circle: {' <- '.join(error.args[1])}")


def test_imports_name_modules_that_exist():
    assert names_of([entry for entry in OWN_IMPORTS if entry.imported not in MODULES]) == ""


@pytest.mark.parametrize("room", WITHOUT_MODELS)
def test_rooms_of_data_import_no_model_library(room):
    libraries = ("torch", "transformers")
    entries = [entry for entry in IMPORTS if room_of(entry.importer) == room]
    assert entries
    assert names_of([entry for entry in entries if entry.imported.split(".")[0] in libraries]) == ""


def test_models_import_only_each_other_and_what_loading_one_needs():
    """`trust_remote_code` ships this room as flat copies of its files."""
    libraries = {"torch", "transformers", "huggingface_hub", "safetensors", "numpy", *sys.stdlib_module_names}
    models = [module for module in MODULES if module.startswith("career_hf.models.")]
    assert len(models) > 5
    for module in models:
        for entry in imports_of(module):
            assert entry.imported in models or entry.imported.split(".")[0] in libraries, str(entry)
        for node in ast.walk(ast.parse(MODULES[module][0].read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1 and node.module and "." not in node.module, (module, node.lineno)


def test_commands_import_the_door_and_each_other_alone():
    allowed_own = {"career_hf", *(f"career_hf.{name}" for name in FOR_ALL)}

    def allowed(entry: Import) -> bool:
        if entry.typing_only:
            return True
        if entry.imported.split(".")[0] == "career_hf":
            return entry.imported in allowed_own or room_of(entry.imported) == "cli"
        return entry.imported.split(".")[0] in COMMANDS_IMPORT

    entries = [entry for entry in IMPORTS if room_of(entry.importer) == "cli"]
    assert entries
    assert names_of([entry for entry in entries if not allowed(entry)]) == ""


def run(script: str) -> str:
    """The output of a fresh interpreter that runs a script."""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def loaded_after(script: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after a script."""
    return set(run(f"{script}\nimport sys\nprint(*({set(HEAVY)!r} & set(sys.modules)))").splitlines()[-1].split())


HELP = """
from typer.main import get_command
from career_hf.cli.app import app
try:
    get_command(app)(["--help"])
except SystemExit as end:
    assert not end.code
"""


def test_opening_the_door_loads_no_library_of_models_or_data():
    assert loaded_after("import career_hf") == set()


def test_careers_are_made_without_models():
    script = "from career_hf import from_frame; from_frame({'person': [1], 'year': [1990], 'occupation': ['cook']})"
    assert loaded_after(script).isdisjoint({"torch", "transformers"})


def test_help_loads_no_library_of_models_or_data():
    assert loaded_after(HELP) == set()


ANY_HELP = """
import typer
app = typer.Typer()
for name in ("one", "two"):
    app.command(name)(lambda number=typer.Option(1, help="A number."): None)
try:
    app(["--help"])
except SystemExit as end:
    assert not end.code
"""


def cpu_seconds(script: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(script)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_takes_little_longer_than_that_of_any_program():
    """The least of four each, in turn, because the machine may be busy; about .35 and .24 CPU seconds."""
    pairs = [(cpu_seconds(HELP), cpu_seconds(ANY_HELP)) for _ in range(4)]
    ours, any_other = (min(seconds) for seconds in zip(*pairs, strict=True))
    assert ours < 2.2 * any_other


def public_names() -> list[tuple[str, str, str]]:
    """The public names, each with the module it comes from and its name there."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = f"career_hf.{node.module}" if node.module else "career_hf"
            names += [(alias.asname or alias.name, module, alias.name) for alias in node.names]
    return names


@pytest.mark.parametrize(("public", "module", "name"), public_names())
def test_public_names_are_what_their_modules_define(public, module, name):
    value = getattr(career_hf, public)
    expected = import_module(f"career_hf.{name}") if module == "career_hf" else getattr(import_module(module), name)
    assert value is expected
    assert public in career_hf.__all__ and public in dir(career_hf)
    if not isinstance(value, str):
        assert inspect.getdoc(value)


def test_public_names_are_in_order():
    names = [(module, name) for _, module, name in public_names()]
    assert names == sorted(names)


@pytest.mark.parametrize("module", ["rivals.nemo"])
def test_any_module_can_be_imported_first(module):
    script = f"import career_hf.{module}\nfrom transformers import AutoConfig, AutoModelForCausalLM\n"
    script += (
        "config = AutoConfig.for_model('career', vocab_size=5)\nprint(type(AutoModelForCausalLM.from_config(config)))"
    )
    assert "CareerForOccupationPrediction" in run(script)
