"""`evaluate`: scores any number of models on the same careers, and reports on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset, DatasetDict

from ..careers.benchmark import label_set, labels_sha256, rows_sha256
from ..careers.columns import with_weights
from ..careers.frames import as_careers, as_splits, long_table
from ..careers.periods import time_unit
from ..encoding.checkpoints import as_checkpoint
from ..encoding.processing_career import CareerProcessor
from ..number_ranges import within_ranges
from .calibration import recalibrate as fit_recalibration
from .outside_tables import is_outside_table, outside_table
from .report import EvaluationReport, report, write_transition_table
from .transition_table import SCORE_COLUMNS, encode_to_score, transition_table, who_was_trained_on


# What the ledger says of a table whose program is not known.
OUTSIDE = "its predictions were read from a table, which does not say whom its program was trained on"


@within_ranges
def evaluate(
    models: Mapping[str, Any],
    careers: str | Path | Dataset | DatasetDict,
    *,
    split: str = "test",
    baseline: str | None = None,
    by: str | Sequence[str] = (),
    watch: str | Sequence[str] = (),
    recalibrate: bool = False,
    weighted: bool = False,
    draws: int = 1000,
    output: str | Path | None = None,
) -> EvaluationReport:
    """Scores models on the same careers: perplexity, audits, calibration and differences, with intervals.

    All models are loaded and checked against the careers before the first one is scored. If a model was trained on
    some of the people, a warning and the report's ledger say on how many. Models that know different occupations are
    compared on the steps that all of them know, and the ledger has the number of the others.

    Args:
        models: Models by name: the folder or Hub id of a checkpoint, a pair (model, processor), a result of training,
            or a list of these, which are seeds of one model. Models that are loaded here run on a GPU if there is one;
            others stay on their device. A frame, or a Parquet or CSV file, is what any other program says of these
            steps (`outside_table`), in probabilities of the occupations of all splits; what it does not give is null.
        careers: A folder of careers, careers by split name, or careers, which are all scored.
        split: Name of the split to score.
        baseline: Name of the model to compare with; the first one if None.
        by: Columns of the careers, or of the transition table, to audit by, such as race or month.
        watch: States whose entry is predicted, such as unemployment.
        recalibrate: Whether models are scored again after `calibration.recalibrate` on the split "validation".
        weighted: Whether to use the careers' survey weights everywhere.
        draws: Number of resamples behind the intervals, of PSUs or households where careers have them, otherwise of
            people.
        output: Destination folder; each transition table is written as soon as it is complete, and the report at the
            end (`EvaluationReport.save`).

    Returns:
        The report on the models; with `recalibrate` it has a table "recalibrations" too: model, seed, temperature,
        stay_slope and stay_intercept.

    Raises:
        ValueError: There is no such baseline, split or column; the split is empty; validation careers are missing or
            would be scored; weights are missing; or a model cannot be loaded or cannot score these careers. The error
            comes before any model is scored.
    """
    if not isinstance(models, Mapping) or not models:
        raise ValueError("models have names: pass a mapping such as {'markov': 'runs/markov', 'career': 'runs/mine'}")
    seeds = {name: model if isinstance(model, list) else [model] for name, model in models.items()}
    baseline = next(iter(seeds)) if baseline is None else baseline
    if baseline not in seeds:
        raise ValueError(f"baseline '{baseline}' is none of {list(seeds)}")
    columns, watched = ([names] if isinstance(names, str) else list(names) for names in (by, watch))
    unsplit = isinstance(careers, Dataset)
    splits = careers if unsplit else as_splits(careers)
    scored = as_careers(splits, split)
    validation = None
    if recalibrate:
        if unsplit or split == "validation":
            raise ValueError("recalibrate fits to validation careers, so that others have to be scored: pass splits")
        validation = as_careers(splits, "validation")
    # Transition tables have a column with the labels of months or quarters.
    auditable = [*dict.fromkeys([*scored.column_names, time_unit(scored), *SCORE_COLUMNS])]
    if absent := [name for name in columns if name not in auditable]:
        raise ValueError(f"there is no column '{absent[0]}': columns to audit by are {auditable}")
    for part in (scored, validation):
        if part is not None:
            with_weights(part, weighted)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    label, labels = None if unsplit else split, []
    if any(is_outside_table(form) for model_forms in seeds.values() for form in model_forms):
        labels = label_set(splits if isinstance(splits, Mapping) else {split: scored})
    checkpoints: dict[str, list[tuple[Any, CareerProcessor] | pd.DataFrame]] = {name: [] for name in seeds}
    for name, model_forms in seeds.items():
        for form in model_forms:
            try:
                if is_outside_table(form):
                    if recalibrate:
                        raise ValueError("a table cannot be recalibrated: score it without recalibrate")
                    checkpoints[name].append(outside_table(form, scored, labels, split=label, watch=watched))
                    continue
                model, processor = as_checkpoint(form)
                for part in (scored, validation):
                    if part is not None:
                        encode_to_score(model, part, processor, "missing", watch=watched)
            except (OSError, ValueError) as error:
                raise ValueError(f"model '{name}': {error}") from error
            checkpoints[name].append((model.to(device) if isinstance(form, (str, Path)) else model, processor))

    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in seeds}
    recalibrated: dict[str, list[pd.DataFrame]] = {name: [] for name in seeds}
    recalibrations = []

    def save_if_asked(table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Writes a table as soon as it is complete, because scoring the others may take long."""
        if output is not None:
            write_transition_table(table, output, name)
        return table

    for name, model_seeds in checkpoints.items():
        for seed, scoring in enumerate(model_seeds):
            if isinstance(scoring, pd.DataFrame):
                tables[name].append(save_if_asked(scoring, f"{name}_{seed}"))
                continue
            model, processor = scoring
            score = partial(
                transition_table, model, scored, processor, split=label, unknown_levels="missing", watch=watched
            )
            tables[name].append(save_if_asked(score(), f"{name}_{seed}"))
            if validation is not None:
                fitted = fit_recalibration(model, validation, processor, weighted)
                recalibrations.append({"model": name, "seed": seed, **asdict(fitted)})
                with fitted.applied_to(model):
                    recalibrated[name].append(save_if_asked(score(), f"{name}_{seed}_recalibrated"))

    results = report(
        tables,
        baseline,
        by=columns,
        recalibrated=recalibrated if recalibrate else None,
        draws=draws,
        weighted=weighted,
    )
    for name, model_seeds in checkpoints.items():
        notes = [
            OUTSIDE if isinstance(scoring, pd.DataFrame) else who_was_trained_on(scoring[1], scored)
            for scoring in model_seeds
        ]
        for note in dict.fromkeys(note for note in notes if note is not None):
            results.ledger.note(f"{name}: {note}")
    if labels:
        rows = rows_sha256(long_table(scored))
        results.ledger.note(f"rows have SHA-256 {rows}, and the {len(labels)} labels {labels_sha256(labels)}")
    if recalibrate:
        results = replace(results, tables={**results.tables, "recalibrations": pd.DataFrame(recalibrations)})
    if output is not None:
        results.save_tables(output)
    return results


__all__ = ["evaluate"]
