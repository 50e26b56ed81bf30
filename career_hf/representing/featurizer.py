"""CareerFeaturizer: representations of careers as columns, in scikit-learn's pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from datasets import Dataset
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from transformers.utils import logging

from ..careers.columns import LongTable, is_list
from ..careers.frames import from_frame, long_table
from ..encoding.checkpoints import load_checkpoint
from .cross_fitting import check_not_trained_on
from .representations import Steps, Timing, names_of, representations


logger = logging.get_logger(__name__)

SETTINGS = "career_featurizer.json"
MANIFEST = "split.json"
KEYS = ("person", "year")


class CareerFeaturizer(TransformerMixin, BaseEstimator):
    """Turns careers into their representations, one row for each row.

    A long table (one row per person and year) gives a row for each of its rows, in its order; a dataset of careers
    gives a row for each person, for the last year. A career consists of the rows in the table, so split tables by
    person and not by row (`GroupKFold` in cross-validation): otherwise histories lose years.

    Nothing is learned from the careers: `fit` loads the checkpoint.

    Args:
        checkpoint: Folder or Hub id of a model with a representation, and its processor. A file `split.json` beside
            them tells which people the model was trained on; without it they are not checked, and a warning says so.
        timing: "before" or "including", as in `representations`.
        person, year, occupation: Names of columns of the long table. Covariates have the names of the model's.
        unknown_levels: What to do with covariate levels that training never saw, "error" or "missing".
        allow_trained_on: Whether people of the training split may be represented too.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.

    Attributes:
        model_: The model, after `fit`.
        processor_: Its processor.
    """

    def __init__(
        self,
        checkpoint: str | Path = "",
        timing: Timing = "before",
        person: str = "person",
        year: str = "year",
        occupation: str = "occupation",
        unknown_levels: Literal["error", "missing"] = "error",
        allow_trained_on: bool = False,
        batch_tokens: int | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.timing = timing
        self.person = person
        self.year = year
        self.occupation = occupation
        self.unknown_levels = unknown_levels
        self.allow_trained_on = allow_trained_on
        self.batch_tokens = batch_tokens

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Loads the checkpoint; the careers are ignored."""
        self.model_, self.processor_ = load_checkpoint(self.checkpoint)
        manifest = Path(self.checkpoint) / MANIFEST
        self.manifest_ = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else None
        if self.manifest_ is None and not self.allow_trained_on:
            logger.warning(
                f"{self.checkpoint} has no {MANIFEST}: whether it was trained on these people is not checked"
            )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Representations, float32 `(rows, hidden)`.

        Args:
            X: A long table (pandas, polars, Arrow, a dict of columns) or careers.

        Raises:
            ValueError: As in `representations` and `from_frame`, or the model was trained on some of the people.
        """
        check_is_fitted(self)
        if hasattr(X, "with_format") and is_list(X.data.schema.field("occupation").type):
            return self._represent(X, "last")
        covariates = self.processor_.columns_of(X)
        group = self.manifest_["group"] if self.manifest_ is not None and not self.allow_trained_on else None
        columns = {"person": self.person, "year": self.year, "occupation": self.occupation}
        unit = self.processor_.time_unit
        careers = from_frame(X, **columns, covariates=covariates, group=group, unit=unit)
        values = self._represent(careers, "all")
        # Careers are sorted; person and year, which identify a row, restore the order of the table.
        table, sorted_rows = LongTable(X, self.person, [self.year]), long_table(careers)
        place = {key: row for row, key in enumerate(zip(*(sorted_rows[c].to_pylist() for c in KEYS), strict=True))}
        rows = zip(table.people.to_pylist(), table.periods(self.year, unit)[0].tolist(), strict=True)
        return values[[place[row] for row in rows]]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names h0, h1, ...; names of input columns are ignored."""
        check_is_fitted(self)
        embeddings: Any = self.model_.get_input_embeddings()
        return np.array(names_of(embeddings.embedding_dim), dtype=object)

    def save(self, folder: str | Path) -> None:
        """Writes the checkpoint and the settings into a folder, for `load`; no pickle."""
        check_is_fitted(self)
        self.model_.save_pretrained(folder)
        self.processor_.save_pretrained(folder)
        settings = {name: value for name, value in self.get_params().items() if name != "checkpoint"}
        (Path(folder) / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        if self.manifest_ is not None:
            (Path(folder) / MANIFEST).write_text(json.dumps(self.manifest_, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A fitted featurizer from the folder that `save` wrote."""
        settings = json.loads((Path(folder) / SETTINGS).read_text(encoding="utf-8"))
        return cls(checkpoint=str(folder), **settings).fit()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # X is a table of labels, which sklearn's validation of matrices cannot read; the result is always float32.
        tags.no_validation = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _represent(self, careers: Dataset, steps: Steps) -> np.ndarray:
        if self.manifest_ is not None and not self.allow_trained_on:
            check_not_trained_on(careers, self.manifest_)
        return representations(
            self.model_,
            careers,
            self.processor_,
            timing=self.timing,
            steps=steps,
            batch_tokens=self.batch_tokens,
            unknown_levels=self.unknown_levels,
        )


__all__ = ["CareerFeaturizer"]
