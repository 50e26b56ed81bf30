"""No Python of README.md and docs/ stands there that no test runs, and no command that `career-hf` would refuse.

Pages with Python are run here, in a folder with made-up careers and untrained models, or by the test that `ELSEWHERE`
names. Commands are parsed: names, options, values and what may not be left out.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
import typer
from replication.__main__ import STUDIES
from replication.study import studies
from typer.main import get_command

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, save_careers, split_careers, to_frame
from career_hf.cli.app import app
from career_hf.evaluation.transition_table import transition_table
from career_hf.occupations.crosswalks import codes
from career_hf.registration import model_names
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import preset
from career_hf.sources import keane_wolpin_careers as keane_wolpin


ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
# Pages whose Python another test file runs, every block of it.
ELSEWHERE = {
    "docs/how_to/benchmark.md": "docs/test_benchmark_docs.py",
    "docs/how_to/audit.md": "docs/test_what_if_docs.py",
    "docs/tutorials/careers_from_your_data.md": "docs/test_careers_from_your_data_docs.py",
    "docs/tutorials/monthly_panel.md": "docs/test_monthly_panel_docs.py",
    "docs/tutorials/own_panel.md": "docs/test_own_panel_docs.py",
    "docs/how_to/coding_noise.md": "docs/test_coding_noise_docs.py",
    "docs/how_to/crosswalks.md": "docs/test_crosswalks_docs.py",
    "docs/how_to/public_corpora.md": "docs/test_public_corpora_docs.py",
    "docs/how_to/displaced_workers.md": "docs/test_displacement_docs.py",
    "docs/how_to/occupation_attributes.md": "docs/test_displacement_docs.py",
    "docs/how_to/export.md": "sharing/test_export.py",
    "docs/how_to/for_transformers_users.md": "docs/test_for_transformers_users_docs.py",
    "docs/how_to/forecasts.md": "docs/test_forecasts_docs.py",
    "docs/how_to/rationales.md": "docs/test_rationales_docs.py",
    "docs/how_to/representations.md": "docs/test_representations_docs.py",
    "docs/how_to/sharing.md": "docs/test_sharing_docs.py",
    "docs/explanation/simulated_market.md": "docs/test_simulation_docs.py",
    "docs/how_to/stata_r_pyfixest.md": "docs/test_stata_r_pyfixest_docs.py",
    "docs/how_to/titles.md": "models/test_title_embeddings.py",
    "docs/how_to/using_models.md": "docs/test_using_models_docs.py",
    "docs/how_to/wage_gaps.md": "wages/test_wages_gaps.py",
    "docs/how_to/wages.md": "docs/test_wages_docs.py",
    "docs/how_to/what_if.md": "docs/test_what_if_docs.py",
}
# Pages with blocks marked "py", and why these cannot run.
NOT_RUN = {
    "docs/tutorials/careers_from_your_data.md": "needs a Spark cluster and a bucket; the same on files is tested",
    "docs/how_to/nlsy79.md": "needs files of the survey; tests/sources runs it on made-up ones",
}


def fences(page: str) -> list[tuple[str, str]]:
    """Info string and content of every fenced block of a page."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```", PAGES[page], flags=re.MULTILINE | re.DOTALL)


def python_of(page: str) -> list[str]:
    return [block for info, block in fences(page) if info == "python"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to be in, which has careers/mine, and in runs/ a chain and an untrained CAREER."""
    monkeypatch.chdir(tmp_path)
    splits = split_careers(preset("tiny").simulate(120).careers)
    save_careers(splits, "careers/mine")
    processor = CareerProcessor.fit(splits["train"], ["year", "education"], unknown_occupation="unknown")
    save(untrained(processor), processor, "runs/mine")
    counted = CareerProcessor.fit(splits["train"], [], unknown_occupation="unknown")
    save(MarkovForOccupationPrediction.fit(counted.encode(splits["train"])[0], counted), counted, "runs/markov")
    return splits


@pytest.fixture
def quickstarted(tmp_path, monkeypatch):
    """A folder to be in, with what `career-hf quickstart` leaves, untrained."""
    monkeypatch.chdir(tmp_path)
    careers, _ = keane_wolpin.load()
    processor = CareerProcessor.fit(careers, ["year", "schooling"])
    processor.record_training(processor.encode(careers.select(range(200)))[0], "training")
    save(untrained(processor), processor, "runs/quickstart/career")


def untrained(processor):
    torch.manual_seed(0)
    return CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=16))


def save(model, processor, at):
    model.save_pretrained(at)
    processor.save_pretrained(at)


def run(page, **names):
    for block in python_of(page):
        exec(block, names)
    return names


def printed_by(page, capsys):
    """What the page says that its blocks print, and whether they did."""
    out = capsys.readouterr().out
    texts = [block for info, block in fences(page) if info == "text"]
    return texts and all(text in out for text in texts)


@pytest.mark.filterwarnings("ignore")
def test_readme(tmp_path, monkeypatch, capsys, short_training):
    pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
    pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
    monkeypatch.chdir(tmp_path)
    write_panel()
    names = run("README.md")
    # What the page says that the checkpoint which ships predicts.
    shown = re.findall(r"^# (0\.\d+ .*)$", PAGES["README.md"], flags=re.MULTILINE)
    printed = capsys.readouterr().out
    assert len(shown) == 4 and all(line in printed for line in shown)
    assert set(names["comparison"].to_frame().index) == {"career", "bag-of-jobs", "markov-2"}
    assert Path("forecast.png").exists() and Path("runs/career/README.md").exists()
    # Numbers come from longer training; the tables have the columns that the page shows.
    printed = {" ".join(line.split()) for line in printed.splitlines()}
    (text,) = [block for info, block in fences("README.md") if info == "text"]
    headings = [
        " ".join(line.split()) for line in text.splitlines() if re.search("perplexity|person|specification", line)
    ]
    assert len(headings) == 3 and set(headings) <= printed


def test_home(quickstarted, capsys):
    run("docs/index.md")
    printed = capsys.readouterr().out
    assert "'year': 19" in printed and printed.count("'occupation'") == 3


def test_quickstart(quickstarted):
    names = run("docs/tutorials/quickstart.md")
    assert sum(names["at_18"].values()) == pytest.approx(1, abs=1e-5)


def test_data_formats(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run("docs/reference/data_formats.md")
    assert printed_by("docs/reference/data_formats.md", capsys)
    assert set(names["splits"]) == {"train", "test"}
    assert to_frame(names["careers"]).shape == (5, 6)


def test_data_formats_names_every_column_of_a_transition_table(folder):
    from career_hf.evaluation.transition_table import SCORE_COLUMNS

    assert all(f"`{name}`" in PAGES["docs/reference/data_formats.md"] for name in SCORE_COLUMNS)


def test_training(folder):
    names = run("docs/how_to/training.md")
    assert names["tuned"].processor.covariate_names == ["year", "education", "gender", "region"]
    assert Path("runs/finetuned/README.md").exists()
    assert set(names["comparison"].to_frame().index) == {"career", "bag-of-jobs", "markov-2"}
    assert "region" in names["processor"].covariate_names and names["pretrained"].training_stages
    assert [stage["stage"] for stage in names["trainer"].processing_class.training_stages] == [
        "training",
        "finetuning",
    ]
    assert names["model"].config.covariate_names == ["year", "education", "gender", "region"]


def write_panel():
    """Writes panel.csv: a few people of the simulated market, each occupation by some code of occ1990dd."""
    panel = to_frame(preset("tiny").simulate(80).careers)[["person", "year", "occupation", "education"]]
    code_of = dict(zip(sorted(panel["occupation"].unique()), codes(), strict=False))
    panel.assign(occupation=panel["occupation"].map(code_of)).to_csv("panel.csv", index=False)


def test_pretrained(folder, short_training):
    write_panel()
    names = run("docs/how_to/pretrained.md")
    assert set(names["tuned"].processor.occupations) == set(names["alone"].processor.occupations)
    assert not names["report"].ledger.notes
    assert {corpus["people"] for corpus in names["mixed"].processor.training_stages[-1]["source"]["corpora"]} > {0}


def test_evaluation(folder, capsys):
    pytest.importorskip("svy", reason="the extra 'survey' is not installed")
    names = run("docs/how_to/evaluation.md")
    assert {"markov", "mine"} == set(names["tables"])
    assert not names["recalibrated"]["log_prob"].equals(names["table"]["log_prob"])


def test_forecasts_of_the_nlsy79(folder):
    Path("careers/full").symlink_to("mine")
    stays = run("docs/replication/forecasts_of_the_nlsy79.md")["stays"]
    years = {year for careers in folder.values() for years in careers["year"] for year in years[1:]}
    assert set(stays.index) == years and stays.between(0, 1).all() and 0 < stays.mean() < 1


def test_nlsy79(folder):
    pytest.importorskip("svy", reason="the extra 'survey' is not installed")
    frame = to_frame(folder["test"])
    frame["house"] = frame["person"].str[-1]
    careers = from_frame(frame, covariates=["education"], weight="weight", group="house")
    processor = CareerProcessor.from_pretrained("runs/mine")
    table = transition_table(untrained(processor), careers, processor, unknown_levels="missing")
    run("docs/how_to/nlsy79.md", careers=careers, table=table)


def test_simulated_wages():
    names = run("docs/explanation/simulated_wages.md")
    assert "log_wage" in names["market"].careers.column_names


HERE = {
    "README.md": test_readme,
    "docs/reference/data_formats.md": test_data_formats,
    "docs/how_to/evaluation.md": test_evaluation,
    "docs/replication/forecasts_of_the_nlsy79.md": test_forecasts_of_the_nlsy79,
    "docs/index.md": test_home,
    "docs/how_to/nlsy79.md": test_nlsy79,
    "docs/tutorials/quickstart.md": test_quickstart,
    "docs/explanation/simulated_wages.md": test_simulated_wages,
    "docs/how_to/training.md": test_training,
    "docs/how_to/pretrained.md": test_pretrained,
}


@pytest.mark.parametrize("page", PAGES)
def test_some_test_runs_the_python_of_the_page(page):
    infos = {info for info, _ in fences(page) if info.strip().startswith("py")}
    assert infos <= {"python", "py"}, f"{page}: mark Python with ```python, not with {infos}"
    assert ("py" in infos) == (page in NOT_RUN), f"{page}: NOT_RUN says why ```py does not run"
    assert not re.search(r"^~~~|^ +```", PAGES[page], flags=re.MULTILINE), f"{page}: fences are ``` at the margin"
    ran = (page in HERE) + (page in ELSEWHERE)
    assert ran == ("python" in infos), f"{page}: its Python must be run by one test, named in HERE or in ELSEWHERE"
    if page in ELSEWHERE:
        test = (ROOT / "tests" / ELSEWHERE[page]).read_text(encoding="utf-8")
        runs = "run_page(PAGE)" in test or ("exec(" in test and r"```python\n(.*?)```" in test)
        assert Path(page).name in test and runs


def commands(page: str) -> list[str]:
    """Every command of a page's blocks, one line each; what the shell would put in is a word."""
    found = []
    for info, block in fences(page):
        if info in ("", "bash"):
            text = block.replace("\\\n", " ")
            for name, value in re.findall(r'^(\w+)="([^"]*)"', text, flags=re.MULTILINE):
                text = text.replace(f"${name} ", value.replace("\n", " ") + " ")
            text = re.sub(r'^\w+="[^"]*"', "", text, flags=re.MULTILINE)
            text = re.sub(r"\$\([^()]*\)", "word", text)
            text = re.sub(r"\$\w+", "1", text)
            # What stands between quotes separates no commands.
            separator = r'(?:\n|;|&&|\||\bdo\b)(?=(?:[^"\n]*"[^"\n]*")*[^"\n]*(?:\n|$))'
            found += [part.strip() for part in re.split(separator, text)]
    return [command for command in found if command.startswith(("career-hf ", "python ", "accelerate "))]


REPLICATION = "python examples/replication"


def of_app(words: list[str]):
    """The command that the words begin with, `career-hf` or a study, and the words after its name."""
    program = "career-hf" if words[0] == "career-hf" else REPLICATION
    command, words = cli(program), words[len(program.split()) :]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{program} has no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def check_command(line: str) -> None:
    """Parses a command as `career-hf` does, but opens no file."""
    command, words = of_app(shlex.split(line, comments=True))
    context = typer.Context(command)
    given, left, _ = command.make_parser(context).parse_args(words)
    assert not left, f"{line}: {left} is too much"
    for parameter in command.params:
        value, kind = given.get(parameter.name), parameter.type_descriptor.annotation
        is_missing = value is None or value == ()
        assert not (is_missing and parameter.required) or "help" in given, f"{line}: {parameter.name} is missing"
        if not is_missing and isinstance(kind, type) and issubclass(kind, (int, float, Enum)):
            for one in value if isinstance(value, (list, tuple)) else [value]:
                kind(one)  # a ValueError that names the value
        if not is_missing and (command.name, parameter.name) in {("train", "model"), ("compare", "models")}:
            assert set(value.split(",")) <= set(model_names()), f"{line}: no model {value}"


def check_script(line: str) -> None:
    """Checks that a script is there, and that it has options of these names."""
    words = shlex.split(line, comments=True)
    place, *arguments = words[next(i for i, word in enumerate(words) if word.endswith(".py")) :]
    source = (ROOT / place).read_text(encoding="utf-8").replace("-", "_")
    for word in arguments:
        if word.startswith("--"):
            assert word[2:].replace("-", "_") in source, f"{line}: {place} has no option {word}"


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands(page)])
def test_commands_of_pages_can_be_given(page, line):
    if line.startswith(("career-hf ", f"{REPLICATION} ")):
        check_command(line)
    elif ".py" in line:
        check_script(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("career-hf trian --data careers", "no command 'trian'"),
        ("career-hf train --dat careers --output run", "No such option: --dat"),
        ("career-hf train --data careers", "output is missing"),
        ("career-hf train --data careers --output", "requires an argument"),
        ("career-hf train --data careers --output run more", "'more'"),
        ("career-hf train --data careers --output run --model word2vec", "word2vec"),
        ("career-hf train --data careers --output run --seed one", "'one'"),
        ("python examples/replication rivasl --data careers", "no command 'rivasl'"),
        ("python examples/run_career.py --tsak scratch", "no option --tsak"),
    ],
)
def test_a_command_that_cannot_be_given_is_found(line, message):
    with pytest.raises((AssertionError, ValueError, typer.TyperException), match=message):
        test_commands_of_pages_can_be_given("", line)


@cache
def scripts() -> str:
    places = ("benchmarks", "examples", "examples/space", "tests/attack", "tests/mutation")
    return "".join(path.read_text(encoding="utf-8") for at in places for path in (ROOT / at).glob("*.py"))


@cache
def cli(program: str):
    if program == "career-hf":
        return get_command(app)
    for name in STUDIES:
        import_module(f"replication.{name}")
    return get_command(studies)


@cache
def options_of(command) -> set[str]:
    here = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    return here.union(*[options_of(one) for one in getattr(command, "commands", {}).values()])


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_sentences_exist(page):
    known = options_of(cli("career-hf")) | options_of(cli(REPLICATION)) | {"--help"}
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", text):
        words = code.split()
        options = words if words[0].startswith(("--", "career-hf", "python")) else []
        for option in (word.split("=")[0] for word in options if word.startswith("--")):
            name = option[2:].replace("-", "_")
            assert option in known or f"--{name}" in scripts() or f" {name}: " in scripts(), f"{page}: {code}"
        program = next((name for name in ("career-hf", REPLICATION) if f"{code} ".startswith(f"{name} ")), code)
        named = words[len(program.split()) :]
        if named and not named[0].isupper():
            command, rest = of_app([word for word in words if word != "..." and not word.isupper()])
            assert {word for word in rest if word.startswith("--")} <= options_of(command) | {"--help"}, (
                f"{page}: {code}"
            )


def test_extras_of_the_pages_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page, text in PAGES.items():
        for names in re.findall(r"(?:career_hf|['\"]\.)\[([a-z,]+)\]", text):
            assert set(names.split(",")) <= set(extras), f"{page}: pip install [{names}]"
