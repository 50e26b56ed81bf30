"""Small folders and files on which every command and function works, made once; attacks change one thing of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import nlsy97_extracts
import numpy as np
import psid_extracts
from datasets import DatasetDict

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.cli.console import Commands
from career_hf.models.title_embeddings import save_title_embeddings


OCCUPATIONS = ("243", "276", "319", "433", "unemployed")
FIRST_YEAR, YEARS, CUTOFF = 1990, 9, 1995
TINY = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 1, "intermediate_size": 16}
SHORT = {"max_steps": 2, "eval_steps": 1, "warmup_steps": 1, "tokens_per_batch": 500}


@dataclass(frozen=True)
class Scene:
    """The folders and files; each is read, and no attack changes it."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / NAMES[name]

    def fresh(self, name: str, scratch: Path) -> Path:
        """A copy of a folder or file, for a command that writes into it or an attack that damages it."""
        source = getattr(self, name)
        copy = scratch / source.name
        return Path(shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy))


NAMES = {
    "careers": "careers",
    "career": "career",
    "chain": "chain",
    "table": "scores/chain_0.parquet",
    "spells": "spells.csv",
    "resumes": "resumes.csv",
    "margins": "margins.csv",
    "moves": "moves.csv",
    "panel": "panel.csv",
    "titles": "titles.safetensors",
    "nlsy97": "nlsy97",
    "psid": "psid",
    "empty": "empty",
}


def make_scene(folder: Path) -> Scene:
    """Makes everything in an empty folder."""
    scene = Scene(folder)
    save_careers(made_careers(), scene.careers)
    short = {**SHORT, "fields": TINY, "cutoff": CUTOFF}
    career_hf.train(scene.careers, output=scene.career, covariates=["year", "gender"], **short)
    shutil.rmtree(scene.career / "training")
    career_hf.train(scene.careers, output=scene.chain, model="markov-1", cutoff=CUTOFF)
    career_hf.evaluate({"chain": [str(scene.chain)]}, scene.careers, draws=10, output=folder / "scores")
    rows = ["person,occupation,start,end,onet_soc,degree,state"]
    for person in range(6):
        for spell, year in enumerate((2001, 2003, 2006)):
            rows.append(f"p{person},{OCCUPATIONS[spell]},{year}-01,{year + 1}-06,11-3031.01,Bachelor,California")
    scene.spells.write_text("\n".join(rows) + "\n")
    scene.resumes.write_text("\n".join(rows) + "\n")
    scene.moves.write_text("origin,destination,count\n0010,0010,9\n0010,0050,4\n0050,nilf,2\n")
    scene.margins.write_text("margin,level,share\ngender,female,0.6\ngender,male,0.4\n")
    career_hf.to_frame(career_hf.load_careers(scene.careers)["test"]).to_csv(scene.panel, index=False)
    save_title_embeddings(scene.titles, {label: np.full(4, i + 1.0) for i, label in enumerate(OCCUPATIONS)})
    for name in ("nlsy97", "psid", "empty"):
        getattr(scene, name).mkdir()
    answers = nlsy97_extracts.employed(2003) | nlsy97_extracts.employed(2004)
    nlsy97_extracts.write_extract(scene.nlsy97, {person: answers for person in range(1, 7)})
    people = [
        psid_extracts.person(4, n) | psid_extracts.wave(2003, code=243) | psid_extracts.wave(2005, code=276)
        for n in (1, 2, 3)
    ]
    psid_extracts.write_files(scene.psid, people)
    return scene


def made_careers(people: int = 60) -> DatasetDict:
    """Careers of people who mostly stay, with the columns that any command reads."""
    draw = np.random.default_rng(0)
    frame: dict[str, list] = {name: [] for name in ("person", "year", "occupation", "gender", "race", "education")}
    frame |= {"region": [], "log_wage": [], "birth_year": []}
    for person in range(people):
        occupation = int(draw.integers(len(OCCUPATIONS)))
        for year in range(FIRST_YEAR, FIRST_YEAR + YEARS):
            if draw.random() < 0.3:
                occupation = int(draw.integers(len(OCCUPATIONS)))
            frame["person"].append(f"p{person:03d}")
            frame["year"].append(year)
            frame["occupation"].append(OCCUPATIONS[occupation])
            frame["gender"].append(("female", "male")[person % 2])
            frame["race"].append(("black", "hispanic", "non_black_non_hispanic")[person % 3])
            frame["education"].append(("high_school", "college")[person // 2 % 2])
            frame["region"].append(("south", "west")[person // 3 % 2])
            frame["log_wage"].append(2 + 0.1 * occupation + 0.1 * float(draw.normal()))
            frame["birth_year"].append("1960")
    static = ["gender", "race", "birth_year"]
    careers = from_frame(frame, covariates=["education", "region"], static=static, outcomes=["log_wage"])
    return split_careers(careers, {"train": 0.5, "validation": 0.2, "test": 0.3})


def command_line() -> Commands:
    """The whole command, with its subcommands."""
    import typer.main

    command = typer.main.get_command(app)
    assert isinstance(command, Commands)
    return command


__all__ = ["CUTOFF", "SHORT", "Scene", "command_line", "made_careers", "make_scene"]
