"""`representation_table`: h of everybody from models that were not trained on them, beside the columns of careers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict

from .argument_kinds import check_names
from .careers.columns import career_table, list_lengths
from .careers.frames import as_careers, as_splits, to_frame
from .careers.provenance import CARD, SOURCES, source_of
from .careers.splits import split_careers
from .encoding.checkpoints import as_checkpoint, load_checkpoint
from .encoding.training_history import people_trained_on
from .number_ranges import within_ranges
from .representing.cross_fitting import cross_fit
from .representing.representations import Timing, representations
from .representing.tables import RepresentationTable, build_table, check_format, check_outcomes
from .trained_models import train
from .training.cells import keep_settings
from .wages.design import careers_of_splits


# Of the people that the model of a fold may learn from, the share by whom training is stopped.
STOPPING = {"train": 0.9, "validation": 0.1}


@within_ranges
def representation_table(
    careers: str | Path | Dataset | DatasetDict,
    model: Any = None,
    *,
    output: str | Path | None = None,
    folds: int | None = None,
    split: str = "test",
    timing: Timing = "including",
    components: int | None = None,
    ridge: Sequence[str] = (),
    covariates: Sequence[str] = ("year",),
    models: str | Path | None = None,
    **training: Any,
) -> RepresentationTable:
    """Represents people by models that were not trained on them, as a table for regressions in any program.

    With `folds`, everybody is represented: people are divided into folds by a hash of the person, or of the household
    where careers have a `group`, and one model is trained for each fold, on all others. With `model`, the people of
    `split` are, after a check that the model was not trained on them.

    Args:
        careers: A folder of careers, careers by split name, or careers.
        model: A folder, Hub id, (model, processor) or result of training; None with `folds`.
        output: File to write, as `RepresentationTable.save` does: .dta for Stata, .parquet or .csv. None for no file.
        folds: Number of folds; None with `model`.
        split: Comma-separated splits that `model` represents; folds take everybody.
        timing: "including", h knows the occupation of the year, or "before", the paper's h_t, which does not.
        components: Number of principal components, computed within each fold, in the place of h; None for h itself.
        ridge: Columns of numbers over time, such as "log_wage". Each is predicted from h by ridge with people of the
            same fold and of other clusters, as one further column that means the same in all folds.
        covariates: The year, and columns of the careers, that the models of the folds know.
        models: Folder of the models of the folds; those that are there are not trained again. Nothing is kept if None.
        training: Further options of `career_hf.train`, such as recipe="best", max_steps or seed.

    Returns:
        One row per person-year with all columns of the careers; fold; and h0, h1, ... or pc0, pc1, ..., and
        ridge_NAME.

    Raises:
        ValueError: The output is of no such kind; neither or both of `model` and `folds` are given; options of
            training are given with a model; the folder `models` has models of other settings or careers; or as
            `representations`, `train` and `cross_fit` do.
    """
    if output is not None:
        check_format(output)
    if (model is None) == (folds is None):
        raise ValueError("give folds=, to train a model for each fold of people, or model=, to represent some by one")
    if timing not in get_args(Timing):
        raise ValueError(f"timing is one of {', '.join(get_args(Timing))}, not {timing!r}")
    check_names(covariates=covariates, ridge=ridge)
    options: dict[str, Any] = {"timing": timing, "components": components, "ridge": ridge}
    if model is not None:
        if refused := [*(["models"] if models is not None else []), *training]:
            raise ValueError(f"{refused[0]} is for models of folds, and a model is given: leave one of them out")
        predictor, processor = as_checkpoint(model)
        splits = as_splits(careers)
        weighted = "weight" in next(iter(splits.values())).column_names
        chosen = careers_of_splits(splits, split, processor, weighted)
        values = representations(predictor, chosen, processor, timing=timing, unknown_levels="missing")
        return _saved(build_table(chosen, values, None, **options), output)

    for name in ("resume", "overwrite", "model", "cutoff"):
        if name in training:
            raise ValueError(
                f"{name} is not for models of folds, which are CAREER and are kept in the folder `models`"
            )
    everybody = as_careers(careers)
    check_outcomes(everybody, ridge)
    if isinstance(careers, (str, Path)) and (source := source_of(careers)["source"]) in SOURCES:
        training.setdefault("source", source)
    if models is not None:
        person_years = int(list_lengths(career_table(everybody), "year").sum())
        settings: dict[str, Any] = {"folds": folds, "covariates": list(covariates), "people": len(everybody)}
        # Who is in which fold, and what the models of the others learned.
        seen = to_frame(everybody)[["person", "year", "occupation"]].astype(str)
        settings["careers"] = f"{pd.util.hash_pandas_object(seen, index=False).sum():x}"
        settings |= {"person-years": person_years, **{name: repr(training[name]) for name in sorted(training)}}
        keep_settings(Path(models), settings)

    def train_fold(others: Dataset, fold: int) -> Any:
        place = None if models is None else Path(models) / f"fold_{fold}"
        # The card is written last.
        if place is not None and (place / CARD).exists():
            return load_checkpoint(place)
        return train(split_careers(others, STOPPING, "stopping"), output=place, covariates=covariates, **training)

    def checked(others: Dataset, fold: int) -> Any:
        """The model of a fold, after a check that it has seen nobody of the fold, which a folder may hide."""
        model, processor = as_checkpoint(train_fold(others, fold))
        learned_from = set(others["person"])
        away = np.flatnonzero([person not in learned_from for person in everybody["person"]])
        if seen := people_trained_on(processor.training_stages, everybody.select(away))[0]:
            raise ValueError(
                f"the model of fold {fold} was trained on {seen} people of the fold: choose another folder of models"
            )
        return model, processor

    values, fold = cross_fit(everybody, cast(int, folds), checked, timing=timing)
    return _saved(build_table(everybody, values, fold, **options), output)


def _saved(table: RepresentationTable, output: str | Path | None) -> RepresentationTable:
    if output is not None:
        table.save(output)
    return table


__all__ = ["representation_table"]
