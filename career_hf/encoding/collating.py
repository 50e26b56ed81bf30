"""From encoded careers to model inputs, in three layouts that give the same loss: padded, packed into rows, and flat.

Everything passes through one form, `FlatCareers`: the steps of some careers laid end to end in numpy arrays.
`EncodedCareers` gathers them straight from the Arrow buffers of an encoded dataset (about two hundred times faster
than reading rows as Python lists, so that data never limit training), and each collator also takes ordinary rows. A
collator then only decides where each step goes. No collator returns an `attention_mask` unless it is asked for one:
padding is to the right of a causal model, where no scored step can see it, and packed careers are told apart by
`position_ids` that restart. Careers that are only predicted need no labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset


Batch = dict[str, Any]

# Columns that an encoded career may have beside `input_ids`; all have an entry for each step, but a weight may be one
# number.
_COLUMNS = ("labels", "covariates", "excluded", "log_wage", "weight")
# Columns with several numbers for each step, and what stands in them at steps that are no step of a career.
_WIDE = {"covariates": 0, "excluded": -100}
ENCODE = "encode careers, and pass the first of the two results: encoded, ledger = processor.encode(careers)"


@dataclass(frozen=True)
class FlatCareers:
    """The steps of some careers, end to end.

    Args:
        lengths: `(careers,)`, number of steps of each career.
        input_ids: `(steps,)`, previous occupations y_{t-1}.
        labels: `(steps,)`, occupations y_t; -100 is not scored. None for careers that are only predicted.
        covariates: `(steps, covariates)`, levels of x_t, or None.
        weight: `(careers,)`, survey weights, or None.
        step_weight: `(steps,)`, survey weights where each step has its own, or None. Batches have it as `weight`.
        excluded: `(steps, most)`, ids that y_t cannot be in the corpus of the career, filled up with -100; or None.
        log_wage: `(steps,)`, log wages for models of wages, NaN where not observed, or None.

    Raises:
        ValueError: Ids are no whole numbers; cut to whole numbers they would be other ids.
    """

    lengths: np.ndarray
    input_ids: np.ndarray
    labels: Any = None
    covariates: np.ndarray | None = None
    weight: np.ndarray | None = None
    log_wage: np.ndarray | None = None
    step_weight: np.ndarray | None = None
    excluded: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("input_ids", "labels", "covariates", "excluded"):
            ids = getattr(self, name)
            if ids is not None and not np.issubdtype(ids.dtype, np.integer):
                raise ValueError(
                    f"'{name}' of the batch is {ids.dtype}, and must hold ids, which are whole numbers: {ENCODE}"
                )

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> FlatCareers:
        """Gathers rows of an encoded dataset: mappings with `input_ids` and perhaps `labels` and other columns.

        Raises:
            ValueError: There are no rows; or one is no encoded career, lacks a column that another has, has columns of
                different lengths, or is padded already.
        """
        _check_rows(rows)
        names = [name for name in _COLUMNS if any(name in row for row in rows)]
        lengths = np.array([len(row["input_ids"]) for row in rows], dtype=np.int64)
        for i, row in enumerate(rows):
            _check_row(i, row, ["input_ids", *names], int(lengths[i]))
            if "weight" in names and np.ndim(row["weight"]) != np.ndim(rows[0]["weight"]):
                raise ValueError(
                    f"careers 0 and {i} of the batch have a weight for the person and weights for steps: give all "
                    "careers the same form"
                )

        def joined(name: str) -> np.ndarray | None:
            return np.concatenate([np.asarray(row[name]) for row in rows]) if name in names else None

        wide: dict[str, Any] = dict.fromkeys(_WIDE)
        for name in [name for name in _WIDE if name in names]:
            steps = [np.asarray(row[name]).reshape(length, -1) for row, length in zip(rows, lengths, strict=True)]
            wide[name] = np.concatenate(steps)
        by_step = "weight" in names and np.ndim(rows[0]["weight"]) > 0
        by_person = "weight" in names and not by_step
        return cls(
            lengths=lengths,
            input_ids=np.concatenate([np.asarray(row["input_ids"]) for row in rows]),
            labels=joined("labels"),
            **wide,
            weight=np.array([row["weight"] for row in rows], dtype=np.float32) if by_person else None,
            log_wage=joined("log_wage"),
            step_weight=joined("weight") if by_step else None,
        )

    @classmethod
    def joined(cls, parts: Sequence[FlatCareers]) -> FlatCareers:
        """The careers of several parts, part after part; all parts have the same columns."""
        columns: dict[str, Any] = {}
        for name, first in vars(parts[0]).items():
            columns[name] = None if first is None else np.concatenate([getattr(part, name) for part in parts])
        return cls(**columns)

    def select(self, rows: np.ndarray) -> FlatCareers:
        """Some of these careers, in the order of the rows."""
        steps = _steps((self.lengths.cumsum() - self.lengths)[rows], self.lengths[rows])
        columns: dict[str, Any] = {}
        for name, values in vars(self).items():
            per_person = name in ("lengths", "weight")
            columns[name] = None if values is None else values[rows if per_person else steps]
        return FlatCareers(**columns)

    @property
    def positions(self) -> np.ndarray:
        """The index of each step within its career, `(steps,)`."""
        return np.arange(len(self.input_ids)) - np.repeat(self.lengths.cumsum() - self.lengths, self.lengths)

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of every step, `(steps,)`, whether people or steps have weights; None without weights."""
        return self.step_weight if self.weight is None else np.repeat(self.weight, self.lengths)

    def tensors(self) -> Batch:
        """The columns of steps without padding, `(steps, ...)`: int64, and wages and weights of steps in float32."""
        columns = {name: getattr(self, name) for name in ("input_ids", "labels", *_WIDE)}
        batch = {
            name: torch.from_numpy(values.astype(np.int64)) for name, values in columns.items() if values is not None
        }
        if self.log_wage is not None:
            batch["log_wage"] = torch.from_numpy(self.log_wage.astype(np.float32))
        if self.step_weight is not None:
            batch["weight"] = torch.from_numpy(self.step_weight.astype(np.float32))
        return batch

    def followed_by_filler(self, steps: int, pad_token_id: int) -> FlatCareers:
        """These careers, followed by a career of `steps` steps that is not scored."""
        rows = {"input_ids": pad_token_id, "labels": -100, **_WIDE, "log_wage": np.nan, "step_weight": 0}
        filled = {
            name: np.concatenate([values, np.full((steps, *values.shape[1:]), rows[name], dtype=values.dtype)])
            for name in rows
            if (values := getattr(self, name)) is not None
        }
        weight = None if self.weight is None else np.append(self.weight, np.float32(0))
        return FlatCareers(lengths=np.append(self.lengths, steps), weight=weight, **filled)

    def laid_out(self, shape: tuple[int, int], row: np.ndarray, column: np.ndarray, pad_token_id: int) -> Batch:
        """The columns of steps in tensors of shape `(rows, time, ...)`.

        Args:
            shape: `(rows, time)`.
            row: `(steps,)`, the row of each step.
            column: `(steps,)`, the column of each step.
            pad_token_id: Occupation id of empty places, whose label is -100, covariates and weight are 0 and wage is
                NaN, and from which nothing is excluded.
        """
        place = torch.from_numpy(row * shape[1] + column)
        batch: Batch = {}
        for name, values in self.tensors().items():
            empty = {"input_ids": pad_token_id, "labels": -100, **_WIDE, "log_wage": math.nan}.get(name, 0)
            grid = torch.full((shape[0] * shape[1], *values.shape[1:]), empty, dtype=values.dtype)
            grid[place] = values
            batch[name] = grid.view(*shape, *values.shape[1:])
        return batch


def _check_rows(rows: Any) -> None:
    """Raises a ValueError unless these are rows of an encoded dataset."""
    if not isinstance(rows, Dataset | Sequence) or isinstance(rows, str):
        raise ValueError(f"a batch is a list of encoded careers, and no {type(rows).__name__}: {ENCODE}")
    if not len(rows):
        raise ValueError("there are no careers in this batch: pass at least one row")
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"career {i} of the batch is a {type(row).__name__}, and no encoded career: {ENCODE}")
        if "input_ids" not in row:
            raise ValueError(f"career {i} of the batch has no 'input_ids', only {list(row)}: {ENCODE}")


def _check_row(i: int, row: Mapping[str, Any], names: Sequence[str], length: int) -> None:
    """Raises a ValueError if row i of a batch lacks a column, or has one that is not of the career's length."""
    for name in names:
        if name not in row or row[name] is None:
            raise ValueError(f"career {i} of the batch has no '{name}', and others have: give it to all or to none")
        if not (name == "weight" and np.ndim(row[name]) == 0) and len(row[name]) != length:
            raise ValueError(
                f"career {i} of the batch has {len(row[name])} steps in '{name}' and {length} in 'input_ids': every "
                "column needs one entry for each step"
            )
    if length == 0:
        raise ValueError(f"career {i} of the batch has no step: leave empty careers out")
    if "attention_mask" in row and not np.asarray(row["attention_mask"]).all():
        raise ValueError(f"career {i} of the batch is padded already (zeros in 'attention_mask'): pass it unpadded")


class EncodedCareers:
    """An encoded dataset as flat arrays: the buffers of its Arrow table, without a copy where the table is one chunk.

    It is a map-style dataset of rows as well (`len`, `[i]` with numpy views), which Trainer can evaluate.

    Args:
        dataset: What `CareerProcessor.encode` returns, perhaps after `select`, `shuffle`, `sort` or
            `train_test_split`, whose row mappings are kept as they are (no `flatten_indices`).

    Raises:
        ValueError: If a column is missing, is null somewhere, or differs in length from `input_ids`.
    """

    def __init__(self, dataset: Dataset):
        if not isinstance(dataset, Dataset):
            raise ValueError(f"encoded careers are a datasets.Dataset, and no {type(dataset).__name__}: {ENCODE}")
        missing = {"input_ids", "labels"} - set(dataset.column_names)
        if missing:
            raise ValueError(
                f"the dataset has no column {sorted(missing)}, only {dataset.column_names}; encode careers first: "
                "encoded, ledger = processor.encode(careers)"
            )
        table = dataset.data.table
        starts, lengths, self.input_ids = _list_buffers(table, "input_ids")
        self.starts, self.lengths = starts, lengths
        # Each column has its own offsets. They agree in every dataset that datasets writes; in a table made by hand
        # they may be shifted, and the values are then gathered once.
        self.labels = self._aligned(table, "labels")
        self.covariates = self._aligned(table, "covariates") if "covariates" in dataset.column_names else None
        self.excluded = self._aligned(table, "excluded") if "excluded" in dataset.column_names else None
        self.log_wage = self._aligned(table, "log_wage") if "log_wage" in dataset.column_names else None
        self.weight, self.step_weight = None, None
        if "weight" in dataset.column_names and pa.types.is_nested(table.schema.field("weight").type):
            self.step_weight = self._aligned(table, "weight").astype(np.float32, copy=False)
        elif "weight" in dataset.column_names:
            self.weight = table.column("weight").to_numpy().astype(np.float32, copy=False)
        if dataset._indices is not None:
            rows = dataset._indices.column(0).to_numpy()
            self.starts, self.lengths = starts[rows], lengths[rows]
            self.weight = None if self.weight is None else self.weight[rows]

    def _aligned(self, table: pa.Table, name: str) -> np.ndarray:
        starts, lengths, values = _list_buffers(table, name)
        different = np.flatnonzero(lengths != self.lengths)
        if len(different):
            row = int(different[0])
            raise ValueError(
                f"row {row}: '{name}' has {lengths[row]} steps and 'input_ids' has {self.lengths[row]}; every column "
                "of a career needs one entry for each step, so encode the careers again"
            )
        if np.array_equal(starts, self.starts):
            return values
        aligned = np.empty((int((self.starts + self.lengths).max(initial=0)), *values.shape[1:]), dtype=values.dtype)
        aligned[_steps(self.starts, self.lengths)] = values[_steps(starts, lengths)]
        return aligned

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        steps = slice(self.starts[row], self.starts[row] + self.lengths[row])
        career = {"input_ids": self.input_ids[steps], "labels": self.labels[steps]}
        if self.covariates is not None:
            career["covariates"] = self.covariates[steps]
        if self.excluded is not None:
            career["excluded"] = self.excluded[steps]
        if self.log_wage is not None:
            career["log_wage"] = self.log_wage[steps]
        if self.weight is not None:
            career["weight"] = self.weight[row]
        elif self.step_weight is not None:
            career["weight"] = self.step_weight[steps]
        return career

    def gather(self, rows: np.ndarray) -> FlatCareers:
        """The careers in some rows, in the order of the rows."""
        lengths = self.lengths[rows]
        steps = _steps(self.starts[rows], lengths)
        return FlatCareers(
            lengths=lengths,
            input_ids=self.input_ids[steps],
            labels=self.labels[steps],
            covariates=None if self.covariates is None else self.covariates[steps],
            weight=None if self.weight is None else self.weight[rows],
            log_wage=None if self.log_wage is None else self.log_wage[steps],
            step_weight=None if self.step_weight is None else self.step_weight[steps],
            excluded=None if self.excluded is None else self.excluded[steps],
        )


def _steps(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Indices of all steps of some careers, career by career, from their starts and lengths."""
    return np.repeat(starts - (lengths.cumsum() - lengths), lengths) + np.arange(lengths.sum())


def _list_buffers(table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, lengths and values of a list column; values of a column of lists of lists are `(steps, width)`."""
    column = table.column(name)
    # A dataset that was written in several record batches is joined once, in memory; one chunk is used in place.
    lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    offsets = lists.offsets.to_numpy().astype(np.int64, copy=False)
    starts, lengths = offsets[:-1], np.diff(offsets)
    values = lists.values
    shape: tuple[int, ...] = (len(values),)
    if pa.types.is_nested(values.type):
        inner = values.flatten()
        shape = (len(values), len(inner) // max(len(values), 1))
        values = inner
    if lists.null_count or values.null_count or len(values) != np.prod(shape):
        raise ValueError(f"column '{name}' has nulls or ragged entries; encode the careers again")
    return starts, lengths, values.to_numpy(zero_copy_only=True).reshape(shape)


class PaddingCollator:
    """One career per row, padded: `(careers, longest)`, with `weight` of shape `(careers,)`, or of the shape of the
    labels and 0 in padding where each step has its own.

    `CareerProcessor.pad` pads by this rule too.

    Args:
        pad_token_id: Occupation id of padding, which no scored step sees.
        padding_side: Side of the padding. Careers that are padded on the left need an attention mask.
        pad_to_multiple_of: Number to a multiple of which the length of rows is filled.
        min_length: Smallest length of rows.
        return_attention_mask: Whether the batch has an `attention_mask`, `(careers, longest)`, 0 in padding. Padding
            on the right of a causal model needs none.

    Raises:
        ValueError: The side is neither "right" nor "left", or it is "left" without an attention mask.
    """

    def __init__(
        self,
        pad_token_id: int = 0,
        padding_side: str = "right",
        pad_to_multiple_of: int | None = None,
        min_length: int = 0,
        return_attention_mask: bool = False,
    ):
        if padding_side not in ("right", "left"):
            raise ValueError(f"padding_side is {padding_side!r}, which is neither 'right' nor 'left'")
        if padding_side == "left" and not return_attention_mask:
            raise ValueError("careers that are padded on the left need return_attention_mask=True")
        self.pad_token_id = pad_token_id
        self.padding_side = padding_side
        self.pad_to_multiple_of = pad_to_multiple_of
        self.min_length = min_length
        self.return_attention_mask = return_attention_mask

    def __call__(self, careers: FlatCareers | Sequence[Mapping[str, Any]]) -> Batch:
        if not isinstance(careers, FlatCareers):
            careers = FlatCareers.from_rows(careers)
        width = max(int(careers.lengths.max(initial=0)), self.min_length)
        width += -width % (self.pad_to_multiple_of or 1)
        shape = (len(careers.lengths), width)
        row = np.repeat(np.arange(shape[0]), careers.lengths)
        column = careers.positions
        if self.padding_side == "left":
            column = column + np.repeat(width - careers.lengths, careers.lengths)
        batch = careers.laid_out(shape, row, column, self.pad_token_id)
        if self.return_attention_mask:
            batch["attention_mask"] = torch.zeros(shape, dtype=torch.int64)
            batch["attention_mask"][torch.from_numpy(row), torch.from_numpy(column)] = 1
        if careers.weight is not None:
            batch["weight"] = torch.from_numpy(careers.weight)
        return batch


class PackingCollator:
    """Several careers per row of a fixed length, for sdpa and eager attention.

    Rows are filled first-fit-decreasing. `position_ids` restart at 0 where a career does, which is how Transformers'
    masks keep careers apart; the rest of a row is filled as a career of its own whose labels are -100. `weight` is
    `(rows, time)`.

    Args:
        row_length: Steps per row, 64 to 128 (attention is quadratic in it). A longer career makes the rows of its
            batch as long as itself.
        pad_token_id: Occupation id of filler steps.
    """

    def __init__(self, row_length: int = 64, pad_token_id: int = 0):
        self.row_length = row_length
        self.pad_token_id = pad_token_id

    def __call__(self, careers: FlatCareers | Sequence[Mapping[str, Any]]) -> Batch:
        if not isinstance(careers, FlatCareers):
            careers = FlatCareers.from_rows(careers)
        row_length = max(self.row_length, int(careers.lengths.max()))
        career_row, first_column, used = first_fit_decreasing(careers.lengths, row_length)
        shape = (len(used), row_length)
        row = np.repeat(career_row, careers.lengths)
        column = np.repeat(first_column, careers.lengths) + careers.positions
        batch = careers.laid_out(shape, row, column, self.pad_token_id)
        position_ids = np.arange(row_length) - used[:, None]
        position_ids[row, column] = careers.positions
        batch["position_ids"] = torch.from_numpy(position_ids)
        if careers.weight is not None:
            weight = np.zeros(shape, dtype=np.float32)
            weight[row, column] = np.repeat(careers.weight, careers.lengths)
            batch["weight"] = torch.from_numpy(weight)
        return batch


def first_fit_decreasing(lengths: np.ndarray, row_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Packs careers into rows: the longest first, each into the first row with room for it.

    Careers of one length are placed together, so this loops over distinct lengths and not over careers.

    Args:
        lengths: `(careers,)`: number of steps of each career, at most `row_length`.
        row_length: Steps per row.

    Returns:
        Row and first column of each career, and the number of steps used in each row.
    """
    row, column = np.empty_like(lengths), np.empty_like(lengths)
    used = np.zeros(0, dtype=np.int64)
    for length in np.unique(lengths)[::-1]:
        members = np.flatnonzero(lengths == length)
        room = (row_length - used) // length
        short = len(members) - int(room.sum())
        if short > 0:
            per_row = row_length // length
            new_rows = -(-short // per_row)
            used = np.concatenate([used, np.zeros(new_rows, dtype=np.int64)])
            room = np.concatenate([room, np.full(new_rows, per_row)])
        filled = np.minimum(room.cumsum(), len(members))
        row[members] = np.repeat(np.arange(len(room)), np.diff(filled, prepend=0))
        nth_in_row = np.arange(len(members)) - np.concatenate([[0], filled])[row[members]]
        column[members] = used[row[members]] + nth_in_row * length
        used = used + np.diff(filled, prepend=0) * length
    return row, column, used


class FlatteningCollator:
    """All careers end to end in one row of `(1, steps)`, without padding.

    For attention that takes the ends of careers: "sdpa_by_length" on CPU, which is fastest if careers of one length
    are adjacent, and varlen flash attention on GPU. `cu_seq_lens_q/k` and `max_length_q/k` are Transformers' names;
    `position_ids` restart at 0 where a career does, and `weight` is `(1, steps)`.

    Args:
        multiple_of: Number of steps to a multiple of which the row is filled, with a career whose labels are -100. In
            bfloat16 on CPU every new number of steps compiles kernels, so that few different numbers are faster.
        pad_token_id: Occupation id of filler steps.
    """

    def __init__(self, multiple_of: int = 1, pad_token_id: int = 0):
        self.multiple_of = multiple_of
        self.pad_token_id = pad_token_id

    def __call__(self, careers: FlatCareers | Sequence[Mapping[str, Any]]) -> Batch:
        if not isinstance(careers, FlatCareers):
            careers = FlatCareers.from_rows(careers)
        if filler := -len(careers.input_ids) % self.multiple_of:
            careers = careers.followed_by_filler(filler, self.pad_token_id)
        batch = {name: values.unsqueeze(0) for name, values in careers.tensors().items()}
        batch["position_ids"] = torch.from_numpy(careers.positions[None])
        ends = torch.from_numpy(np.concatenate([[0], careers.lengths.cumsum()]).astype(np.int32))
        longest = int(careers.lengths.max())
        batch |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}
        if careers.weight is not None:
            batch["weight"] = torch.from_numpy(np.repeat(careers.weight, careers.lengths)[None])
        return batch


__all__ = ["EncodedCareers", "FlatCareers", "FlatteningCollator", "PackingCollator", "PaddingCollator"]
