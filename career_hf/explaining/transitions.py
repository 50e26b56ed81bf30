"""Matrices of moves between broad groups and states without work, as a model implies them and as observed.

A row is the state at the previous step, a column the state now; staying is on the diagonal. Observed shares and the
model's mean probabilities are over the same person-years, so they differ only by errors of the model and by chance.
Both are weighted if they are asked to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict

from ..careers.clusters import FEWEST, cluster_name, clusters
from ..careers.columns import career_table, weights_by_step, with_weights
from ..careers.frames import as_careers, covariate_names, to_frame
from ..encoding.checkpoints import as_ensemble
from ..encoding.collating import EncodedCareers
from ..evaluation.resampling import between_spread, combine_members, interval, resample_means, spread
from ..evaluation.transition_table import distributions
from ..figures.style import save
from ..figures.transition_matrices import FEWEST_EXPECTED, matrix, transition_matrices_figure
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult
from .outcome_groups import Groups, group_matrix


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Transitions(ReadableResult):
    """Shares of people who go from one group to another in a step, observed and implied by a model.

    Args:
        rows: One row for each cell of each matrix, as `to_frame` returns them.
        by: The covariate whose levels have a matrix each; None if there is one matrix for everybody.
    """

    rows: pd.DataFrame
    by: str | None = None
    fewest_expected: ClassVar[int] = FEWEST_EXPECTED

    def to_frame(self) -> pd.DataFrame:
        """One row for each level of `by`, previous group that somebody was in, and group.

        Columns: the covariate itself; previous; occupation; n (steps from the previous group); people and clusters
        (with such a step); observed, observed_low, observed_high, implied, implied_low, implied_high; difference
        (implied less observed); standard_error, low and high (95%) of the difference, which is paired. Observed and
        implied sum to one over `occupation`. Intervals are null in rows of fewer than `FEWEST` clusters. They are too
        narrow where few steps are expected, n times implied below `fewest_expected`: a move that nobody made does not
        vary between resamples. Categories are in the order of `outcome_groups.ordered_groups`. `attrs` have weighted,
        draws, the clusters ("household", say) and members (number of models whose differences intervals hold).
        """
        return self.rows

    def by_level(self) -> dict[str, Transitions]:
        """The matrix of each level of the covariate, including "missing"; without a covariate one matrix, named ""."""
        if self.by is None:
            return {"": self}
        levels = self.rows[self.by].fillna("missing")
        return {str(level): Transitions(part, self.by) for level, part in self.rows.groupby(levels, sort=False)}

    def matrix(self, column: str = "implied") -> pd.DataFrame:
        """One column as a square: previous groups in rows, groups in columns.

        Args:
            column: A column of numbers, such as "observed", "implied" or "difference".

        Raises:
            ValueError: There are matrices of several levels.
        """
        if self.rows.duplicated(["previous", "occupation"]).any():
            raise ValueError(f"there are several matrices: choose one of by_level(), {list(self.by_level())}")
        return matrix(self.rows, column)

    def beyond_chance(self) -> tuple[int, int]:
        """The number of cells whose 95% interval of the difference excludes zero, and the number of cells counted.

        Cells count if at least `fewest_expected` steps are implied, in rows of `FEWEST` clusters or more. If the model
        were the truth, 5% of their intervals would exclude zero.
        """
        is_expected = self.rows["n"] * self.rows["implied"] >= self.fewest_expected
        expected = self.rows[is_expected & (self.rows["clusters"] >= FEWEST)]
        return int(((expected["low"] > 0) | (expected["high"] < 0)).sum()), len(expected)

    def too_few(self) -> list[str]:
        """Previous groups of fewer than `FEWEST` clusters, whose rows have no intervals and are not judged."""
        return self.rows.loc[self.rows["clusters"] < FEWEST, "previous"].astype(str).unique().tolist()

    def figure(self, level: str | None = None) -> Figure:
        """Heat maps of the percentages observed, implied, and implied less observed.

        Args:
            level: The level of the covariate whose matrix is drawn; may be left out where there is one matrix.

        Returns:
            A matplotlib figure that no window shows.

        Raises:
            ValueError: There is no such level, or none is named where there are several.
        """
        parts = self.by_level()
        if level is None and len(parts) > 1:
            raise ValueError(f"there are several matrices: name one of {list(parts)}")
        level = next(iter(parts)) if level is None else level
        if level not in parts:
            raise ValueError(f"there is no matrix for level {level!r}, only for {list(parts)}")
        group = "" if self.by is None else f"; {self.by}: {level}"
        title = f"Percent of steps from a state (row; number of steps) to the next (column){group}"
        return transition_matrices_figure(parts[level].rows, title)

    def save(self, folder: str | Path, *, figures: bool = False) -> None:
        """Saves the rows as `transitions.csv`, and optionally a figure of each matrix.

        Args:
            folder: Destination folder.
            figures: Whether to save figures, which needs matplotlib.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.rows.to_csv(folder / "transitions.csv", index=False)
        if not figures:
            return
        for level in self.by_level():
            name = f"transitions_{level}" if level else "transitions"
            path = folder / f"{name.replace(' ', '_').replace('/', '_')}.png"
            save(self.figure(level), path)


@within_ranges
def transitions(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    *,
    split: str = "test",
    groups: Groups = "group",
    by: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    batch_tokens: int | None = None,
    unknown_levels: Literal["error", "missing"] = "missing",
    weighted: bool = False,
) -> Transitions:
    """Compares the moves between occupations or broad groups that a model implies with those that were observed.

    The implied share is the mean of p(y_t in the group | past) over all steps from the row's group, each with its own
    past and covariates. First steps have no previous group and are left out.

    Args:
        model: An occupation model: a folder, a Hub id, a pair (model, processor) or what `train` returns. Or an
            ensemble, a list of these or the folder that `train_ensemble` wrote, whose intervals hold the uncertainty
            of the model too.
        careers: A folder of careers, or careers; people whom the model was not trained on.
        split: The split of a folder, or of careers by split name.
        groups: The states: "occupation" for single ones; a level of broad groups of occ1990dd, "group", "major_group"
            or "census_group"; or the group of every occupation.
        by: A covariate of the careers; each of its levels, including missing, gets its own matrix. A step has the
            level at its time.
        draws, seed: Number and random seed of the resamples behind the intervals, of PSUs or households where careers
            have them, otherwise of people.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        weighted: Whether to use the careers' survey weights.

    Raises:
        ValueError: There is no such split, weights are asked for and missing, `by` is not a covariate of the careers,
            nobody has a second step, or as in
            `transition_table`.
    """
    careers = with_weights(as_careers(careers, split), weighted)
    covariates = [name for names in covariate_names(careers) for name in names]
    if by is not None and by not in covariates:
        raise ValueError(f"by {by!r}: the covariates are {covariates}")
    ensemble = as_ensemble(model)
    encodings = []
    for member, its_processor in ensemble:
        its_processor.check(member.config)
        encodings.append(EncodedCareers(its_processor.encode(careers, unknown_levels)[0]))
    encoded, (_, processor) = encodings[0], ensemble[0]
    flat = encoded.gather(np.arange(len(encoded)))
    weight = weights_by_step(career_table(careers))
    later = (flat.positions > 0) & (weight > 0)
    if not later.any():
        raise ValueError("nobody is observed twice, so there are no moves to count: pass longer careers")
    labels, is_in_group = group_matrix(processor, groups)
    group_of_id = np.where(is_in_group.sum(dim=1) > 0, is_in_group.argmax(dim=1), -1)
    long = to_frame(careers)
    levels, level_names = _levels(long, by)

    # Intervals need each cluster's sums in each cell; a cell is a level and a previous group.
    keys = np.stack([levels, group_of_id[flat.input_ids], clusters(long)])
    cells, cell = np.unique(keys[:, later], axis=1, return_inverse=True)
    mass = np.bincount(cell, weights=weight[later])
    cell_of_step = np.full(len(later), -1)
    cell_of_step[later] = cell
    implied = torch.zeros(len(ensemble), cells.shape[1], len(labels), dtype=torch.float64)
    for own_implied, (member, _), own_careers in zip(implied, ensemble, encodings, strict=True):
        for place, log_probs, _, _ in distributions(member, own_careers, batch_tokens):
            used = torch.from_numpy(later[place])
            probabilities = log_probs[used.to(log_probs.device)].cpu().double().exp() @ is_in_group
            probabilities *= torch.from_numpy(weight[place])[used, None]
            own_implied.index_add_(0, torch.from_numpy(cell_of_step[place])[used], probabilities)
    place_of_truth = cell * len(labels) + group_of_id[flat.labels[later]]
    seen = np.bincount(place_of_truth, weights=weight[later], minlength=implied[0].numel())
    sums = np.concatenate([seen.reshape(implied[0].shape), *implied.numpy()], axis=1)
    shares = np.divide(sums, mass[:, None], out=np.zeros_like(sums), where=mass[:, None] > 0)
    steps = pd.DataFrame({"level": levels, "previous": keys[1], "person": long["person"]})[later]
    sizes = steps.groupby(["level", "previous"])["person"].agg(["size", "nunique"])

    frames = []
    for level, previous in np.unique(cells[:2], axis=1).T:
        own = np.flatnonzero((cells[0] == level) & (cells[1] == previous))
        frame = _matrix_row(shares[own].reshape(len(own), -1, len(labels)), mass[own], draws, seed)
        frame.insert(0, "occupation", labels)
        frame.insert(0, "previous", labels[previous])
        frame.insert(2, "n", int(sizes.loc[(level, previous), "size"]))
        frame.insert(3, "people", int(sizes.loc[(level, previous), "nunique"]))
        frame.insert(4, "clusters", int((mass[own] > 0).sum()))
        if by is not None:
            frame.insert(0, by, level_names[level] if level >= 0 else None)
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    for name in ("previous", "occupation"):
        rows[name] = pd.Categorical(rows[name], categories=pd.Index(labels, dtype="str"))
    rows.attrs = {"weighted": "weight" in long, "draws": draws, "clusters": cluster_name(long.columns)}
    rows.attrs["members"] = len(ensemble)
    return Transitions(rows, by)


def _levels(long: pd.DataFrame, by: str | None) -> tuple[np.ndarray, list[str]]:
    """`(person-years,)` places of levels, -1 where missing, and the sorted levels; one level "all" without `by`."""
    if by is None:
        return np.zeros(len(long), dtype=np.int64), ["all"]
    codes, names = pd.factorize(long[by], sort=True)
    return codes, list(names)


def _matrix_row(shares: np.ndarray, weight: np.ndarray, draws: int, seed: int) -> pd.DataFrame:
    """A frame for one row of the matrix, one line per column.

    Args:
        shares: `(clusters, 1 + members, columns)`: observed shares, and those that each model implies.
        weight: `(clusters,)`.
        draws, seed: As in `transitions`.
    """
    everybody, together = np.arange(len(shares)), np.zeros(len(shares), dtype=np.int64)
    flat = shares.reshape(len(shares), -1)
    means, resampled = resample_means(flat, weight, everybody, together, draws=draws, seed=seed)
    (observed, *of_members), drawn_shares = means.reshape(shares.shape[1:]), resampled.reshape(-1, *shares.shape[1:])
    implied, drawn_implied = combine_members(np.array(of_members), drawn_shares[:, 1:], seed, 0, 1)
    drawn = {"observed": drawn_shares[:, 0], "implied": drawn_implied}
    drawn["difference"] = drawn["implied"] - drawn["observed"]
    count = int((weight > 0).sum())
    low, high = zip(*(interval(part, count) for part in drawn.values()), strict=True)
    within = spread(drawn_shares[:, 1:].mean(axis=1) - drawn_shares[:, 0], count)
    error = np.hypot(within, between_spread(np.array(of_members)))
    return pd.DataFrame(
        {
            "observed": observed,
            "observed_low": low[0],
            "observed_high": high[0],
            "implied": implied,
            "implied_low": low[1],
            "implied_high": high[1],
            "difference": implied - observed,
            "standard_error": error,
            "low": low[2],
            "high": high[2],
        }
    )
