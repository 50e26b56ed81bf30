"""Publishing a checkpoint on the Hub: model, processor, card and evaluation results in one commit.

A checkpoint is not published if the terms of its training data forbid it or are not recorded (every training stage
counts, including pretraining), if its parts do not belong together, or if it does not load. Only the files of a
checkpoint are uploaded: no optimizer, no intermediate checkpoint, no pickle. The uploaded processor has rounded
training counts, because a count of 1 is about one person, and the uploaded card has a section on how rare the training
careers are.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import HFValidationError, HTTPError  # of the HTTP library that huggingface_hub has
from huggingface_hub.utils import validate_repo_id

from ..careers.dataset_card import CARD, as_cell
from ..careers.frames import load_careers
from ..careers.provenance import SOURCES, UNKNOWN_SOURCE
from ..encoding.checkpoints import load_checkpoint
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import round_stage
from ..models.checksums import verify_checksums
from ..models.shipped import shipped
from ..number_ranges import within_ranges
from .card_results import RESULTS, read_results
from .model_card import corpora_of, terms_of, write_model_card
from .rare_careers import K, are_recorded, rare_careers, small_counts
from .remote_code import SOURCE_FILES, save_with_code


# The files of a checkpoint. Code is added only if the config points to it and it is this package's own.
CHECKPOINT = ("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json")
BESIDE = ("checksums.json", "preprocessor_config.json", CARD, RESULTS)
SECTION = "## Publication"
# That somebody permitted something, and who: "with the written permission of the Survey Research Center".
PERMISSION = re.compile(
    r"\b(permi\w+|consent\w*|agree\w*|approv\w*|licen[cs]\w+|contract\w*)\b.*\b(of|from|by|with)\s+\w{2,}", re.I | re.S
)


@dataclass(frozen=True)
class Publication:
    """What was published or, in a dry run, would be published.

    Args:
        repo: Name of the repository on the Hub.
        files: One row per uploaded file: file, bytes.
        left_out: One row per other file or subfolder: file, why.
        refusals: Reasons why the checkpoint is not published; empty if it is.
        notices: What the publisher needs to know.
        stored: `small_counts`: small counts in the files themselves, before rounding.
        rare: `rare_careers` of the training careers; None if they were not given.
        commit: Address of the commit; None in a dry run.
    """

    repo: str
    files: pd.DataFrame
    left_out: pd.DataFrame
    refusals: list[str]
    notices: list[str]
    stored: pd.DataFrame
    rare: pd.DataFrame | None = None
    commit: str | None = None


@within_ranges
def publish(
    folder: str | Path,
    repo: str,
    *,
    dry_run: bool = False,
    private: bool = True,
    override_licence: str | None = None,
    data: str | Path | None = None,
    k: int = K,
    with_code: bool = False,
    api: HfApi | None = None,
) -> Publication:
    """Uploads a checkpoint in one commit. The folder itself is not changed.

    Args:
        folder: Folder of any model of this package and its processor, or the name of one that ships with the package.
            Without README.md a card is written for the upload.
        repo: Name of the repository, "user/name"; it is created if it does not exist. Files of an earlier upload that
            are no longer in the folder are deleted.
        dry_run: Whether to upload nothing and refuse nothing, and return what would be done.
        private: Whether a new repository is private.
        override_licence: Who permitted publication, in words ("written permission of ..."), if the record forbids it
            or does not say so. The card quotes it.
        data: Folder of the training careers (of the last stage), for the report on rare careers.
        k: Counts are uploaded rounded up to multiples of k, and cells of fewer than k people are rare; 1 uploads the
            counts as they are.
        with_code: Whether to upload CAREER's source files too, so that `trust_remote_code=True` loads the model where
            career_hf is not installed. Only for CAREER; a folder that `remote_code.save_with_code` wrote has them
            anyway.
        api: Client of another server, or with another token.

    Raises:
        ValueError: `repo` is no name of a repository, the licence forbids publication or is not known, the override
            does not say who permitted it, files have no checksums, model and processor disagree, the folder does not
            load, or its evaluation results or its card are about another model.
        ConnectionError: The upload stopped; the repository is as it was before.
    """
    folder = Path(shipped(folder))
    _check_repo(repo)
    model, processor = _load(folder)
    read_results(folder)
    _check_card(folder, processor)
    refusals, notices = licence_problems(processor.training_stages)
    if override_licence is not None and not refusals:
        notices.append("nothing had to be overridden, so the card does not quote override_licence")
        override_licence = None
    if override_licence is not None:
        _check_override(override_licence)
        notices += [f"overridden: {refusal}" for refusal in refusals]
        refusals = []
    careers = load_careers(data)["train"] if data is not None else None
    if careers is not None and not are_recorded(careers, processor):
        notices.append(
            f"the split 'train' of {data} is not what the checkpoint has recorded as training careers (a cutoff "
            "leaves out years): the report on rare careers is about other careers"
        )
    rare = rare_careers(careers, processor.covariate_names, k) if careers is not None else None
    stored = small_counts(processor, k, rare)
    if refusals and not dry_run:
        raise ValueError("not published. " + " ".join(refusals))
    with tempfile.TemporaryDirectory() as temporary:
        staged = Path(temporary) / folder.resolve().name
        left_out = _stage(folder, staged, processor, bool(getattr(model.config, "auto_map", None)), k)
        if with_code:
            save_with_code(model, staged)
        add_publication_section(staged / CARD, override_licence, stored, rare, k)
        paths = sorted(path for path in staged.iterdir())
        files = pd.DataFrame([(path.name, path.stat().st_size) for path in paths], columns=["file", "bytes"])
        publication = Publication(repo, files, left_out, refusals, notices, stored, rare)
        if dry_run:
            return publication
        commit = _upload(paths, repo, private, api or HfApi())
    return replace(publication, commit=commit)


def licence_problems(stages: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Reasons why the sources of training stages do not allow publication, and conditions where they do.

    Terms are those of `terms_of`: a record that is laxer than what is known of its source counts for nothing.

    Args:
        stages: Training stages of the processor.

    Returns:
        Refusals and notices.
    """
    override = (
        "or say in words why it may be published: override_licence='I have written permission of ...' "
        "(--override-licence)."
    )
    if not stages:
        return [
            f"The checkpoint has no record of what it was trained on. Train it with `career-hf train`, {override}"
        ], []
    refusals, notices = [], []
    listed_terms = set()
    for stage, corpus in [(each, corpus) for each in stages for corpus in corpora_of(each)]:
        record = terms_of({"source": corpus})
        name, redistribution = record["source"], record["redistribution"]
        if (name, redistribution) in listed_terms:
            continue
        listed_terms.add((name, redistribution))
        listed = SOURCES.get(name)
        title = listed.title if listed else "no source that career_hf knows"
        what = f"'{name}' ({title}; licence: {record['license']})"
        terms = f" {listed.terms}" if listed else ""
        if redistribution == "forbidden":
            refusals.append(
                f"Stage '{stage['stage']}' was trained on {what}, whose redistribution is forbidden.{terms} Train on "
                f"other careers, {override}"
            )
        elif redistribution == "from the agency":
            notices.append(f"{what}: the careers themselves must not be passed on, and are not uploaded.{terms}")
        elif redistribution == "allowed with attribution":
            notices.append(f"{what}: name the authors wherever you present the model.{terms}")
        elif redistribution != "allowed":
            refusals.append(
                f"Stage '{stage['stage']}' was trained on {what}, and nobody recorded whether it may be passed on."
                f"{terms} Ask the owner of the careers, write `redistribution` into the README.md of their folder "
                f"(see docs/how_to/sharing.md) and train again, {override}"
            )
    return refusals, notices


def _check_repo(repo: str) -> None:
    """Raises a ValueError unless a name is that of a user's or organisation's repository."""
    try:
        validate_repo_id(repo)
        is_name = repo.count("/") == 1
    except HFValidationError:
        is_name = False
    if not is_name:
        raise ValueError(
            f"repo is {repo!r}: give USER/NAME, the owner's name on the Hub and the repository's, of letters, digits, "
            "'-', '_' and '.'"
        )


def _check_override(override: str) -> None:
    """Raises a ValueError if a text does not say that somebody permitted publication, and who."""
    if not PERMISSION.search(override):
        raise ValueError(
            f"override_licence is {override!r}: say in words who permitted it, such as 'I have written permission of "
            "the data's owner, Jane Doe'; the card will quote it"
        )


def _load(folder: Path) -> tuple[Any, CareerProcessor]:
    """Loads model and processor; raises a ValueError if the checkpoint is incomplete or its parts disagree."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} is no checkpoint: it has no config.json")
    try:
        verify_checksums(folder)
        return load_checkpoint(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} does not load, so it is not published: {error}") from error


def _check_card(folder: Path, processor: CareerProcessor) -> None:
    """Raises a ValueError if the folder's card names other sources than the checkpoint, from an earlier training."""
    if not (folder / CARD).exists():
        return
    card_sources = (ModelCard.load(folder / CARD).data.to_dict().get("career_hf") or {}).get("sources")
    sources = [stage.get("source", UNKNOWN_SOURCE)["source"] for stage in processor.training_stages]
    if card_sources is not None and card_sources != sources:
        raise ValueError(
            f"{folder / CARD} says that the model was trained on {card_sources}, but the checkpoint "
            f"was trained on {sources}: write its card with `career-hf card {folder}`"
        )


def _stage(folder: Path, staged: Path, processor: CareerProcessor, has_code: bool, k: int) -> pd.DataFrame:
    """Copies the files to upload, with rounded counts in the processor, and returns a table of other files."""
    patterns = (*CHECKPOINT, *BESIDE)
    staged.mkdir()
    left_out = []
    for path in sorted(folder.iterdir()):
        is_part = any(fnmatch(path.name, pattern) for pattern in patterns) or (has_code and _is_own_code(path))
        if path.is_file() and is_part:
            shutil.copy(path, staged / path.name)
        else:
            why = "a folder, such as of intermediate checkpoints" if path.is_dir() else "no part of a checkpoint"
            left_out.append((path.name, why))
    processor.training_stages = [round_stage(stage, k) for stage in processor.training_stages]
    processor.save_pretrained(staged)
    if not (staged / CARD).exists():
        write_model_card(staged)
    return pd.DataFrame(left_out, columns=["file", "why"])


def _is_own_code(path: Path) -> bool:
    """Whether a file is a source file of this package; raises a ValueError if it was changed."""
    source_file = SOURCE_FILES / path.name
    if path.suffix != ".py" or not source_file.is_file():
        return False
    if source_file.read_bytes() != path.read_bytes():
        raise ValueError(
            f"{path} is not the code of this career_hf, so it is not published: save the model again with "
            "remote_code.save_with_code, or with save_pretrained, which adds no code"
        )
    return True


def add_publication_section(
    path: Path, override: str | None, stored: pd.DataFrame, rare: pd.DataFrame | None, k: int, note: str | None = None
) -> None:
    """Adds a section about the publication to a card, in the place of an earlier one.

    Args:
        path: The card.
        override: Who permitted publication, where the record does not.
        stored: `small_counts` before rounding.
        rare: `rare_careers` of the training careers, or None.
        k: As in `publish`.
        note: Further sentences, such as on who can be told to be in the training data.
    """
    card = ModelCard.load(path)
    parts = [SECTION]
    if override is not None:
        parts.append(
            "Published although the recorded terms of its training data do not say that it may be:\n\n"
            f"> {as_cell(override)}"
        )
        card.data.career_hf = {**(card.data.to_dict().get("career_hf") or {}), "override_licence": override}
    parts.append(
        "Training counts in `preprocessor_config.json` are as they were."
        if k == 1
        else f"Training counts in `preprocessor_config.json` are rounded up to multiples of {k}. Before "
        "rounding, these counts were about few people:"
    )
    parts.append(_as_table(stored))
    if rare is None:
        parts.append("The training careers were not available, so this card has no report on how rare they are.")
    else:
        parts.append(
            f"Cells of training careers, and cells with fewer than {k} of their {rare.attrs['people']:,} people:"
        )
        parts.append(_as_table(rare))
    if note is not None:
        parts.append(note)
    body = card.text.partition(f"\n{SECTION}\n")[0].rstrip("\n")
    card.text = body + "\n\n" + "\n\n".join(parts) + "\n"
    card.save(path)


def _as_table(frame: pd.DataFrame) -> str:
    """A frame as Markdown."""
    names = ["", *map(as_cell, frame.columns)]
    rows = [names, ["---"] * len(names)]
    for index, values in zip(frame.index, frame.itertuples(index=False), strict=True):
        rows.append([as_cell(index), *map(_cell, values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: Any) -> str:
    if value != value:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3f}"


def _upload(paths: Iterable[Path], repo: str, private: bool, api: HfApi) -> str:
    """Uploads files in one commit, and returns its address."""
    paths = list(paths)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        gone = [
            name
            for name in api.list_repo_files(repo)
            if name not in {path.name for path in paths} and any(fnmatch(name, p) for p in (*CHECKPOINT, *BESIDE))
        ]
        info = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(path.name, path) for path in paths),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message=f"Upload {paths[0].parent.name} with career_hf",
        )
    # huggingface_hub and hf_xet turn errors in the transfer of a large file into a RuntimeError.
    except (HTTPError, OSError, RuntimeError) as error:
        why = " ".join(str(error.__cause__ or error).split())
        raise ConnectionError(
            f"the upload to {repo} stopped: {why}. It is one commit, which is made as a whole or not at all; push "
            "again, and files that were transferred already are not sent twice"
        ) from error
    return info.commit_url


__all__ = ["Publication", "licence_problems", "publish"]
