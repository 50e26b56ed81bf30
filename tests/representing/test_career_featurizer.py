"""CareerFeaturizer by scikit-learn's own checks, and in its pipelines."""

from __future__ import annotations

import json
import logging as python_logging
import tempfile

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data
from transformers.utils import logging

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, split_careers, split_manifest
from career_hf.representing.featurizer import CareerFeaturizer
from career_hf.representing.representations import representations


SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


class Folder(str):
    """A path that names of tests do not contain, because every process that collects them has its own."""

    def __repr__(self):
        return "'folder'"


def save(folder, processor):
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **SIZES, initializer_range=0.3))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Folder(folder)


# Checks are collected before fixtures exist.
FOLDER = tempfile.TemporaryDirectory()
CHECKPOINT = save(FOLDER.name, CareerProcessor(occupations=["<pad>", "<start>", "cook", "waiter"]))


class OfMatrices(CareerFeaturizer):
    """Every row of a matrix is somebody's single year, so that checks that are made of matrices can be run."""

    def fit(self, X, y=None):
        validate_data(self, X)
        return super().fit(X)

    def transform(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        # Downwards, so that rows are not in the order of people.
        people, occupation = -np.arange(len(X)), np.where(X[:, 0] > 0, "cook", "waiter")
        return super().transform({"person": people, "year": [2000] * len(X), "occupation": occupation})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = tags.input_tags.string = False
        return tags


def expected_failures(estimator):
    """Checks that hand a matrix over: to careers a matrix is a ValueError, and `fit` does not look at it."""
    if isinstance(estimator, OfMatrices):
        return {}
    of_matrices = [
        *["check_dict_unchanged", "check_estimators_dtypes", "check_estimators_pickle", "check_fit_idempotent"],
        *["check_f_contiguous_array_estimator", "check_fit_score_takes_y", "check_methods_sample_order_invariance"],
        *["check_methods_subset_invariance", "check_pipeline_consistency", "check_transformer_general"],
    ]
    reasons = dict.fromkeys(of_matrices, "X is a matrix, not careers; OfMatrices passes it")
    return reasons | {"check_estimator_sparse_tag": "fit does not look at X, so sparse ones pass too"}


@pytest.fixture(autouse=True)
def quiet():
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


@parametrize_with_checks(
    [CareerFeaturizer(CHECKPOINT), OfMatrices(CHECKPOINT)], expected_failed_checks=expected_failures
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def frame():
    """A long table with its rows in no order, a covariate that changes and one that does not, and a wage."""
    rng = np.random.default_rng(0)
    rows = [
        {"id": p, "wave": 1990 + t, "job": rng.choice(["cook", "waiter"]), "region": rng.choice(["south", "north"])}
        | {"gender": "fm"[p % 2], "log_wage": rng.normal()}
        for p in range(40)
        for t in range(1 + p % 5)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def careers(frame):
    return from_frame(frame, person="id", year="wave", occupation="job", covariates=["region"], static=["gender"])


@pytest.fixture(scope="module")
def checkpoint(careers, tmp_path_factory):
    return save(
        tmp_path_factory.mktemp("checkpoint"), CareerProcessor.fit(careers, covariates=["year", "region", "gender"])
    )


NAMES = {"person": "id", "year": "wave", "occupation": "job"}


@pytest.mark.parametrize("timing", ["before", "including"])
@pytest.mark.parametrize("convert", [lambda x: x, pl.from_pandas, lambda x: x.to_dict("list")])
def test_a_row_of_the_table_gives_its_own_row(timing, convert, frame, careers, checkpoint):
    featurizer = CareerFeaturizer(checkpoint, timing, **NAMES, allow_trained_on=True).fit()
    values = featurizer.transform(convert(frame))
    table = representations(featurizer.model_, careers, featurizer.processor_, timing=timing, kind="pandas")
    keys = pd.MultiIndex.from_arrays([frame["id"].astype(str), frame["wave"]])
    np.testing.assert_array_equal(values, table.loc[keys].to_numpy())


def test_careers_give_a_row_for_each_person(careers, checkpoint):
    featurizer = CareerFeaturizer(checkpoint, "including", allow_trained_on=True).fit()
    model, processor = featurizer.model_, featurizer.processor_
    last = representations(model, careers, processor, timing="including", steps="last")
    np.testing.assert_array_equal(featurizer.transform(careers), last)


def test_columns_have_names_and_an_index(frame, checkpoint):
    featurizer = CareerFeaturizer(checkpoint, **NAMES, allow_trained_on=True).set_output(transform="pandas")
    values = featurizer.fit_transform(frame)
    assert list(values.columns) == list(featurizer.get_feature_names_out()) == [f"h{i}" for i in range(8)]
    assert values.index.equals(frame.index)
    with pytest.raises(NotFittedError):
        clone(featurizer).get_feature_names_out()


def test_a_wage_regression_is_cross_validated_by_person(frame, checkpoint):
    pipeline = make_pipeline(CareerFeaturizer(checkpoint, **NAMES, allow_trained_on=True), Ridge())
    folds = GroupKFold(3)
    predicted = cross_val_predict(pipeline, frame, frame["log_wage"], groups=frame["id"], cv=folds)
    h = pipeline[0].fit_transform(frame)
    expected = np.empty(len(frame))
    for train, test in folds.split(frame, groups=frame["id"]):
        wage, middle = frame["log_wage"].to_numpy()[train], h[train].mean(axis=0)
        x = h[train] - middle
        slope = np.linalg.solve(x.T @ x + np.eye(8), x.T @ (wage - wage.mean()))
        expected[test] = wage.mean() + (h[test] - middle) @ slope
    np.testing.assert_allclose(predicted, expected, atol=1e-4)


def test_it_is_saved_without_pickle_and_loaded(frame, checkpoint, tmp_path):
    featurizer = CareerFeaturizer(checkpoint, "including", **NAMES, allow_trained_on=True).fit()
    featurizer.save(tmp_path / "features")
    assert {path.suffix for path in (tmp_path / "features").iterdir()} == {".json", ".safetensors"}
    loaded = CareerFeaturizer.load(tmp_path / "features")
    np.testing.assert_array_equal(loaded.transform(frame), featurizer.transform(frame))
    assert loaded.get_params() == {**featurizer.get_params(), "checkpoint": str(tmp_path / "features")}


def test_people_of_the_training_split_are_refused_unless_asked_for(frame, careers, tmp_path, caplog):
    checkpoint = save(tmp_path, CareerProcessor.fit(careers, covariates=["year"]))
    python_logging.getLogger("career_hf").propagate = True
    CareerFeaturizer(checkpoint).fit()
    assert "is not checked" in caplog.text
    splits = split_careers(careers)
    (tmp_path / "split.json").write_text(json.dumps(split_manifest(splits)), encoding="utf-8")
    featurizer = CareerFeaturizer(checkpoint, **NAMES).fit()
    assert featurizer.transform(splits["test"]).shape == (len(splits["test"]), 8)
    with pytest.raises(ValueError, match="are in the split 'train'"):
        featurizer.transform(frame)
    assert len(CareerFeaturizer(checkpoint, **NAMES, allow_trained_on=True).fit_transform(frame)) == len(frame)
    featurizer.save(tmp_path / "copy")
    with pytest.raises(ValueError, match="are in the split 'train'"):
        CareerFeaturizer.load(tmp_path / "copy").transform(splits["train"])
