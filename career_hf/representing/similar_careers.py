"""Similar careers by the cosine of their representations, among all or among careers without a common occupation.

Figure 5 of the paper shows the pairs of people with the most similar representations and no occupation in common,
after the same number of years: `first_years`, `representations` with `steps="last"`, then `most_similar_pairs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from datasets import Dataset, DatasetDict, concatenate_datasets
from scipy import sparse
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from ..careers.columns import career_table, is_list, list_lengths, list_values, make_dataset
from ..careers.frames import as_splits
from ..encoding.checkpoints import as_checkpoint
from ..number_ranges import within_ranges
from ..occupations.crosswalks import titles
from .representations import Timing, representations


# Number of similarities that are in memory at once, 128 MiB: a row of everybody for as many people as fit.
SIMILARITIES = 2**25


@within_ranges
def similar(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    people: str | Sequence[str],
    *,
    neighbours: int = 10,
    split: str = "test",
    years: int = 0,
    nothing_in_common: bool = False,
    ignored: Sequence[str] = (),
) -> pd.DataFrame:
    """The people with the most similar careers, by the cosine of representations that include the last year.

    Args:
        model: Folder or Hub id of a model with a representation, a pair (model, processor), or a result of training.
        careers: Careers, careers by split name, or a folder of them.
        people: The person, or people, whose neighbours are wanted.
        neighbours: Number of neighbours for each of them.
        split: Name of the split whose people are compared; "all" takes everybody, including people of the training
            split.
        years: Number of first observed years of every career that are compared; whole careers if 0.
        nothing_in_common: Whether neighbours must have no occupation in common (Figure 5).
        ignored: Labels that may be in common nevertheless, such as states without work.

    Returns:
        What `similar_careers` returns, with titles of occupations. Its `attrs["careers"]` has the careers of `people`
        in words.

    Raises:
        ValueError: There is no such split, a person is not in it, the model has no representation or does not know an
            ignored label, or nobody has as many years.
    """
    people = [people] if isinstance(people, str) else list(people)
    splits = {split: careers} if isinstance(careers, Dataset) else as_splits(careers)
    if split != "all" and split not in splits:
        raise ValueError(f"the careers have splits {list(splits)}, and none is '{split}'")
    for person in people:
        home = next((name for name, part in splits.items() if person in part["person"]), None)
        if home is None:
            raise ValueError(f"person '{person}' is not among the careers")
        if split not in ("all", home):
            raise ValueError(f"person '{person}' is in the split '{home}': take the split '{home}', or 'all'")
    model, processor = as_checkpoint(model)
    if unknown := set(ignored) - set(processor.occupations):
        raise ValueError(f"the ignored labels have {sorted(unknown)}, which the model does not know")
    compared = concatenate_datasets(list(splits.values())) if split == "all" else splits[split]
    if years:
        compared = first_years(compared, years)
    values = representations(model, compared, processor, timing="including", steps="last", unknown_levels="missing")
    held_occupations = occupations_held(compared, ignored=ignored) if nothing_in_common else None
    names = titles()
    table = similar_careers(
        compared, values, people, neighbours=neighbours, held_occupations=held_occupations, names=names
    )
    place = {person: row for row, person in enumerate(compared["person"])}
    words = in_words(compared, [place[person] for person in people], names)
    table.attrs["careers"] = dict(zip(people, words, strict=True))
    return table


def first_years(careers: Dataset, years: int) -> Dataset:
    """The first observed years of people; leaves out people with fewer years, who would not be comparable.

    Args:
        careers: Careers.
        years: Number of observed years. For h_t "before", which excludes the occupation of its own year, one more than
            the years of work that are compared.

    Raises:
        ValueError: Nobody has so many years.
    """
    table = career_table(careers)
    lengths = list_lengths(table, "year")
    long_enough = np.flatnonzero(lengths >= years)
    if years < 1 or len(long_enough) == 0:
        raise ValueError(f"nobody has {years} years: the longest career has {lengths.max(initial=0)}; take 1 to that")
    starts = (lengths.cumsum() - lengths)[long_enough]
    steps = pa.array((starts[:, None] + np.arange(years)).ravel())
    offsets = pa.array(np.arange(len(long_enough) + 1) * years, pa.int32())
    columns = {}
    for field in table.schema:
        if is_list(field.type):
            columns[field.name] = pa.ListArray.from_arrays(offsets, list_values(table, field.name).take(steps))
        else:
            columns[field.name] = table[field.name].take(pa.array(long_enough))
    return make_dataset(columns)


def occupations_held(careers: Dataset, timing: Timing = "including", ignored: Sequence[str] = ()) -> sparse.csr_array:
    """A matrix `(careers, occupations)`, float32 ones where the person has held the occupation.

    Args:
        careers: Careers.
        timing: Timing of the representations that are compared; "before" leaves out each career's last year.
        ignored: Labels that are left out, such as states without work.
    """
    table = career_table(careers)
    lengths = list_lengths(table, "occupation")
    steps = list_values(table, "occupation").dictionary_encode()
    labels = steps.dictionary.to_pylist()
    counts = ~np.isin(labels, list(ignored))[steps.indices.to_numpy()]
    if timing == "before":
        counts[lengths.cumsum() - 1] = False
    people = np.repeat(np.arange(len(lengths)), lengths)[counts]
    codes = steps.indices.to_numpy()[counts]
    ones = sparse.csr_array((np.ones(len(codes), np.float32), (people, codes)), shape=(len(lengths), len(labels)))
    ones.sum_duplicates()
    ones.data[:] = 1
    return ones


def nearest(
    values: np.ndarray, rows: np.ndarray, neighbours: int, held_occupations: sparse.csr_array | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbours of some careers among all careers, exactly, without a matrix of all pairs.

    Args:
        values: `(careers, hidden)`: representations.
        rows: `(queries,)`: places of the careers whose neighbours are wanted.
        neighbours: Number of neighbours for each.
        held_occupations: What `occupations_held` returns. If given, careers with a common occupation are no
            neighbours.

    Returns:
        `(queries, neighbours)`: places of the neighbours, the nearest first, and their cosine similarities. If there
        are too few neighbours, places are -1 and similarities -inf.
    """
    unit = torch.nn.functional.normalize(torch.tensor(values, dtype=torch.float32), dim=-1)
    neighbours, rows = min(neighbours, len(unit) - 1), np.asarray(rows)
    places, similarities = [], []
    for some in np.split(rows, range(0, len(rows), max(1, SIMILARITIES // len(unit))))[1:]:
        similarity = unit[some] @ unit.T
        similarity[np.arange(len(some)), some] = -torch.inf
        if held_occupations is not None:
            shared = held_occupations @ held_occupations[some].T.toarray() > 0
            similarity.masked_fill_(torch.from_numpy(shared).T, -torch.inf)
        top = similarity.topk(neighbours)
        places.append(top.indices.masked_fill(top.values.isinf(), -1).numpy())
        similarities.append(top.values.numpy())
    empty = np.empty((0, neighbours))
    return np.concatenate([empty.astype(np.int64), *places]), np.concatenate([empty.astype(np.float32), *similarities])


def similar_careers(
    careers: Dataset,
    values: np.ndarray,
    people: Sequence[str],
    *,
    neighbours: int = 10,
    held_occupations: sparse.csr_array | None = None,
    names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The people with the most similar careers, from representations.

    Args:
        careers: Careers.
        values: `(careers, hidden)`: representations with `steps="last"`.
        people: People whose neighbours are wanted.
        neighbours: Number of neighbours for each.
        held_occupations: As in `nearest`.
        names: As in `in_words`.

    Returns:
        One row per neighbour, the nearest first: person; neighbour, another person; similarity, the cosine; career,
        that of the neighbour, in words.

    Raises:
        ValueError: A person is not among the careers, or there is not one representation for each career.
    """
    everyone = careers["person"][:]
    _check_one_row_each(everyone, values)
    place = {person: row for row, person in enumerate(everyone)}
    if strangers := [person for person in people if person not in place]:
        raise ValueError(
            f"person '{strangers[0]}' is not among the {len(everyone)} careers, the first of which is '{everyone[0]}'"
        )
    rows = np.array([place[person] for person in people], dtype=np.int64)
    places, similarity = nearest(values, rows, neighbours, held_occupations)
    query, rank = np.nonzero(places >= 0)
    others = places[query, rank]
    return pd.DataFrame(
        {
            "person": [people[int(i)] for i in query],
            "neighbour": [everyone[int(i)] for i in others],
            "similarity": similarity[query, rank],
            "career": in_words(careers, others, names),
        }
    )


@within_ranges
def most_similar_pairs(
    careers: Dataset,
    values: np.ndarray,
    pairs: int = 10,
    held_occupations: sparse.csr_array | None = None,
    names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The most similar pairs among all careers or, with `held_occupations`, among pairs without a common occupation
    (Figure 5).

    Args:
        careers, values, held_occupations, names: As in `similar_careers`.
        pairs: Number of pairs.

    Returns:
        One row per pair, the most similar first: person and neighbour; similarity; career and neighbours_career, in
        words.
    """
    everyone = careers["person"][:]
    _check_one_row_each(everyone, values)
    # Each of the most similar pairs is among this many nearest neighbours of both its people.
    places, similarity = nearest(values, np.arange(len(values)), pairs, held_occupations)
    query, rank = np.nonzero((places >= 0) & (places > np.arange(len(values))[:, None]))
    order = np.argsort(-similarity[query, rank], kind="stable")[:pairs]
    first, second = query[order], places[query, rank][order]
    return pd.DataFrame(
        {
            "person": [everyone[i] for i in first],
            "neighbour": [everyone[i] for i in second],
            "similarity": similarity[query, rank][order],
            "career": in_words(careers, first, names),
            "neighbours_career": in_words(careers, second, names),
        }
    )


def in_words(careers: Dataset, rows: Sequence[int] | np.ndarray, names: Mapping[str, str] | None = None) -> list[str]:
    """Some careers as text, spell by spell: "school 1979-1981, cook 1982".

    Args:
        careers: Careers.
        rows: Rows of the careers to describe.
        names: Names of labels, such as `occupations.crosswalks.titles()` for occ1990dd codes; other labels stay as
            they are.
    """
    texts = []
    for career in (careers[int(row)] for row in rows):
        spells = []
        for label, steps in groupby(zip(career["occupation"], career["year"], strict=True), key=lambda step: step[0]):
            years = [year for _, year in steps]
            last = f"-{years[-1]}" if len(years) > 1 else ""
            spells.append(f"{(names or {}).get(label, label)} {years[0]}{last}")
        texts.append(", ".join(spells))
    return texts


def describe_clusters(careers: Dataset, clusters: np.ndarray, occupations: int = 3) -> pd.DataFrame:
    """Describes clusters of careers.

    Args:
        careers: Careers.
        clusters: `(careers,)`: number of each career's cluster, as clusterings of scikit-learn return it.
        occupations: Number of typical occupations that are named.

    Returns:
        One row per cluster: people; share, of everybody; years, the mean number of observed years; typical, the
        occupations that people of the cluster have held more often than everybody, by the largest differences, with
        the share of the cluster's people who have held them.
    """
    _check_one_row_each(careers["person"], clusters)
    table = career_table(careers)
    held, lengths = occupations_held(careers), list_lengths(table, "year")
    labels = list_values(table, "occupation").dictionary_encode().dictionary.to_pylist()
    everybody = np.asarray(held.mean(axis=0)).ravel()
    rows = {}
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        share = np.asarray(held[members].mean(axis=0)).ravel()
        top = np.argsort(everybody - share, kind="stable")[:occupations]
        rows[cluster] = {
            "people": len(members),
            "share": len(members) / len(clusters),
            "years": lengths[members].mean(),
            "typical": ", ".join(f"{labels[i]} {share[i]:.0%}" for i in top),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("cluster")


def career_map(values: np.ndarray, *, sample: int = 2_000, neighbours: int = 5, seed: int = 0) -> np.ndarray:
    """A map on which similar careers lie together: t-SNE places a sample, and others lie among their neighbours in it.

    Args:
        values: `(careers, hidden)`, representations.
        sample: Number of careers, drawn at random, that t-SNE places; its time grows faster than their number.
        neighbours: Number of neighbours in the sample in whose middle each other career is placed.
        seed: Random seed of the sample and of t-SNE.

    Returns:
        `(careers, 2)`, coordinates without a unit.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(values))[:sample])
    # For unit vectors, Euclidean distances have the same order as cosine distances.
    values = normalize(values)
    placed = TSNE(random_state=seed).fit_transform(values[chosen])
    search = NearestNeighbors(n_neighbors=min(neighbours, len(chosen)), algorithm="brute").fit(values[chosen])
    coordinates = np.empty((len(values), 2), dtype=np.float32)
    others = np.setdiff1d(np.arange(len(values)), chosen)
    if len(others):
        coordinates[others] = placed[search.kneighbors(values[others], return_distance=False)].mean(axis=1)
    coordinates[chosen] = placed
    return coordinates


def _check_one_row_each(people: Sequence[str], values: np.ndarray) -> None:
    rows = len(values) if np.ndim(values) else 0
    if len(people) != rows:
        raise ValueError(f"{len(people)} careers have {rows} rows: give one row for each career, as steps='last' does")


__all__ = [
    "career_map",
    "describe_clusters",
    "first_years",
    "in_words",
    "most_similar_pairs",
    "nearest",
    "occupations_held",
    "similar",
    "similar_careers",
]
