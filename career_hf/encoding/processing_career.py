"""CareerProcessor: turns labels of occupations and covariates into ids and back; every checkpoint has one.

The model sees `input_ids[t]` = y_{t-1} (the beginning of a career at t = 0), `covariates[t]` = x_t, `labels[t]` = y_t.
`preprocessor_config.json` is written with sorted keys, so all state is in ordered lists: an id is a place in a list.
Inputs and results are `datasets.Dataset`s; in between careers are Arrow tables, because making a dataset takes
milliseconds, longer than a model takes for one career.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from math import inf
from pathlib import Path
from reprlib import repr as short
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetDict
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import PaddingStrategy, logging

from ..argument_kinds import check_names
from ..careers.coding_noise import CODING_NOISE
from ..careers.columns import (
    career_table,
    has_row_per_person,
    is_list,
    is_text,
    list_lengths,
    list_values,
    make_dataset,
    one_career,
    sort_labels,
    weights_by_person,
    weights_by_step,
)
from ..careers.frames import career_columns
from ..careers.ledger import Ledger
from ..careers.periods import PER_YEAR, TIME_UNIT, TimeUnit, period_column, person_periods, plural, time_unit
from ..careers.provenance import UNKNOWN_SOURCE
from ..careers.shards import CareerShards
from ..careers.validation import validated_pieces
from ..careers.wide_tables import column_names
from ..models.checksums import Checksummed
from ..models.configuration_occupation import OccupationConfig
from ..models.json_fields import check_types, read_json
from .collating import FlatCareers, PaddingCollator
from .streams import EncodedShards
from .training_history import check_stage, count_stage, pad_stage, sum_counts, sum_stage
from .vocabulary import (
    MISSING,
    by_frequency,
    hash_of_levels,
    index_labels,
    index_occupations,
    label_counts,
    learn_levels,
    level_codes,
    nearest_years,
    occupation_codes,
    unused_columns,
)


logger = logging.get_logger(__name__)

# Columns that careers of this package may have and no model can be given, and why.
NO_COVARIATES = {
    CODING_NOISE: "what it says of a year follows from later years too",
    TIME_UNIT: "it is the unit of the careers' periods",
}
# The types of the processor's fields in its file.
TYPES = {
    "occupations": list[str],
    "covariate_names": list[str],
    "covariate_levels": list[list[str]],
    "unknown_occupation": str | None,
    "special_token_ids": list[int],
    "pad_token_id": int,
    "bos_token_id": int,
    "time_covariate": str | None,
    "step_length": int,
    "weight_scale": float | int | None,
    "optional_covariates": list[str],
    "training_stages": list[dict[str, Any]],
    "padding_value": int,
    "padding_side": str,
    TIME_UNIT: str,
}


class CareerProcessor(Checksummed, SequenceFeatureExtractor):
    """Turns careers into model inputs, and ids back into labels.

    It is a `SequenceFeatureExtractor`, so that a plain `Trainer(..., processing_class=processor)` pads encoded careers
    with `pad`, through Transformers' own `DataCollatorWithPadding`.

    Make one with [`CareerProcessor.fit`] on the training careers, or load one with `from_pretrained`.

    Args:
        occupations: Labels, including those of special ids; the index is the id.
        covariate_names: Covariates in the order of the last axis of the `covariates` input.
        covariate_levels: Levels of each covariate; the index is the id, and level 0 is "missing".
        unknown_occupation: Occupation to which labels outside the vocabulary are mapped; if None, these are errors.
        special_token_ids: Ids that are not occupations.
        pad_token_id: Id of padding.
        bos_token_id: Id of the beginning of a career.
        time_covariate: "year" if the year is a covariate, else None.
        step_length: The most common gap between a person's observed years, in years.
        weight_scale: Factor that gives survey weights a mean of 1 per scored step of the training careers; None if
            these had no weights, and then encoding leaves weights out.
        optional_covariates: Covariates that the model has learned to do without (`covariate_dropout`). Careers need
            not have them, and levels that training never saw are missing, but a year is the nearest one that it saw.
        training_stages: Records of the training runs; see `record_training`.
        padding_value: Level of covariates at padded steps, always 0, which is "missing".
        padding_side: Side on which `pad` and a call add padding, "right" or "left".
        time_unit: What the column `year` of the careers counts, "year", "quarter" or "month". Files of processors of
            years do not have the field.

    Raises:
        ValueError: If the state contradicts itself, for instance because a label has two ids.

    Example:
        >>> from career_hf.careers import from_frame
        >>> table = {"person": [1, 1, 2], "year": [1990, 1991, 1990], "occupation": ["cook", "waiter", "cook"]}
        >>> processor = CareerProcessor.fit(from_frame(table))
        >>> processor.occupations
        ['<pad>', '<start>', 'cook', 'waiter']
        >>> processor.covariate_levels
        [['missing', '1990', '1991']]
        >>> encoded, ledger = processor.encode(from_frame(table))
        >>> encoded["input_ids"][0], encoded["labels"][0], encoded["covariates"][0]
        ([1, 2], [2, 3], [[1], [2]])
    """

    model_input_names = ["input_ids", "covariates", "attention_mask"]
    checksummed_files = ("preprocessor_config.json",)

    def __init__(
        self,
        occupations: Sequence[str] = ("<pad>", "<start>"),
        covariate_names: Sequence[str] = (),
        covariate_levels: Sequence[Sequence[str]] = (),
        unknown_occupation: str | None = None,
        special_token_ids: Sequence[int] = (0, 1),
        pad_token_id: int = 0,
        bos_token_id: int = 1,
        time_covariate: str | None = None,
        step_length: int = 1,
        weight_scale: float | None = None,
        optional_covariates: Sequence[str] = (),
        training_stages: Sequence[Mapping[str, Any]] = (),
        padding_value: int = 0,
        padding_side: str = "right",
        time_unit: TimeUnit = "year",
        **kwargs: Any,
    ) -> None:
        # Its parent's constructor asks for a sampling rate, which careers do not have.
        FeatureExtractionMixin.__init__(self, **kwargs)
        check_names(occupations=occupations, covariate_names=covariate_names)
        self.occupations = list(occupations)
        self.covariate_names = list(covariate_names)
        self.covariate_levels = [list(levels) for levels in covariate_levels]
        self.unknown_occupation = unknown_occupation
        self.special_token_ids = list(special_token_ids)
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.time_covariate = time_covariate
        self.step_length = step_length
        self.weight_scale = weight_scale
        self.optional_covariates = list(optional_covariates)
        self.training_stages = [dict(stage) for stage in training_stages]
        self.padding_value = padding_value
        self.padding_side = padding_side
        self.time_unit = time_unit
        self._check_state()

    @classmethod
    def from_dict(cls, feature_extractor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """A processor from the fields of its file; raises a ValueError that names a field that is missing or has a
        wrong type."""
        check_types("preprocessor_config.json", feature_extractor_dict, TYPES, ["occupations"])
        return super().from_dict(feature_extractor_dict, **kwargs)

    @property
    def occupation_labels(self) -> list[str]:
        """The labels of occupations in the order of their ids, without special ids."""
        special = set(self.special_token_ids)
        return [label for i, label in enumerate(self.occupations) if i not in special]

    def to_dict(self) -> dict[str, Any]:
        """The fields of the processor's file, without the unit where it is the year."""
        fields: dict[str, Any] = super().to_dict()
        if self.time_unit == "year":
            del fields[TIME_UNIT]
        return fields

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        """Saves the processor, as any feature extractor of Transformers.

        A folder that has a model already, as where a Trainer saves both, must have one of this processor.

        Args:
            save_directory: The folder.
            args, kwargs: Those of Transformers.

        Raises:
            ValueError: The folder's `config.json` is that of a model with other occupations or levels.
        """
        config_file = Path(save_directory) / "config.json"
        fields = read_json(config_file) if config_file.is_file() else {}
        kind = str(fields.get("model_type"))
        # A folder may have a model of somebody else, which this processor then says nothing about.
        if kind in CONFIG_MAPPING and issubclass(CONFIG_MAPPING[kind], OccupationConfig):
            try:
                self.check(CONFIG_MAPPING[kind].from_dict(fields))
            except ValueError as error:
                raise ValueError(
                    f"the processor is not that of the model in {save_directory}: {error}; to replace that model, "
                    "save the new one first"
                ) from error
        return super().save_pretrained(save_directory, *args, **kwargs)

    @classmethod
    def fit(
        cls,
        careers: Dataset | CareerShards,
        covariates: Sequence[str] = ("year",),
        unknown_occupation: str | None = None,
        occupations: Sequence[str] | CareerProcessor | None = None,
    ) -> CareerProcessor:
        """Learns the vocabulary from training careers.

        Args:
            careers: Training careers, or files of them, which are read part by part.
            covariates: Covariates of the model, in order: "year", or columns of the careers.
            unknown_occupation: A label, such as "unknown", for occupations outside the vocabulary. It is an occupation
                like any other, with an id and a probability.
            occupations: The labels of a coding scheme, all of which get ids even if they do not occur. Or a processor,
                whose occupations are taken in its order, so that models can be members of one ensemble. If None, the
                occupations that occur.

        Returns:
            A processor whose ids are special ids first, then occupations from the most to the least frequent, with
            ties by label, or in the order of the processor that was given; covariate levels are sorted, as numbers if
            all are numbers.

        Raises:
            ValueError: If careers are not valid, a covariate is not one of their columns or is named twice, an
                occupation is outside the given coding scheme and `unknown_occupation` is None, or all weights are 0.
        """
        given = occupations.occupation_labels if isinstance(occupations, CareerProcessor) else occupations
        check_names(covariates=covariates, **({} if given is None else {"occupations": given}))
        covariates = list(covariates)
        if twice := [name for name in covariates if covariates.count(name) > 1]:
            raise ValueError(f"covariate '{twice[0]}' is named twice in covariates={covariates}: name it once")
        if wrong := [name for name in covariates if name in NO_COVARIATES]:
            raise ValueError(f"column '{wrong[0]}' is no covariate, because {NO_COVARIATES[wrong[0]]}: leave it out")
        seen = _Seen(covariates)
        for piece in validated_pieces(careers):
            seen.add(piece)
        if seen.people == 0:
            raise ValueError("there are no careers to learn a vocabulary from: pass the training careers")
        counts = {label: 0 for label in (seen.occupations if given is None else given)}
        if unknown_occupation is not None:
            counts.setdefault(unknown_occupation, 0)
        outside = [label for label in seen.occupations if label not in counts]
        if outside and unknown_occupation is None:
            # The error names the person and the year.
            rows = 0
            for piece in validated_pieces(careers):
                occupation_codes(piece, list(counts), [], None, rows)
                rows += piece.num_rows
        for label, count in seen.occupations.items():
            counts[label if label in counts else str(unknown_occupation)] += count
        # An unknown occupation that the given processor does not have comes last.
        ordered = list(counts) if isinstance(occupations, CareerProcessor) else by_frequency(counts)
        return cls(
            occupations=["<pad>", "<start>", *ordered],
            covariate_names=covariates,
            covariate_levels=[[MISSING, *seen.levels[name]] for name in covariates],
            unknown_occupation=unknown_occupation,
            time_covariate="year" if "year" in covariates else None,
            step_length=seen.step_length,
            weight_scale=seen.weight_scale,
            time_unit=seen.time_unit,
        )

    def encode(
        self, careers: Dataset | CareerShards, unknown_levels: Literal["error", "missing"] = "error"
    ) -> tuple[Any, Ledger]:
        """Turns careers into ids, one row per person in the order of the careers.

        Args:
            careers: Careers with this processor's covariates; or files of them, which are gone through once now, so
                that errors come first, and encoded part by part when they are used.
            unknown_levels: What to do with covariate levels that training never saw: "error" raises a ValueError,
                "missing" treats them as missing and counts them in the ledger.

        Returns:
            The encoded dataset, or `EncodedShards` of files, and a ledger. Columns, with T steps and C covariates:
            `input_ids` (T), `labels` (T), `covariates` (T, C) unless C is 0, `length`, and `weight` (scaled; one
            number, or T where careers have one for each year) if careers have weights.

        Raises:
            ValueError: If careers are not valid, a covariate is missing from them, an occupation or level is not
                known, or none of the occupations is. The message names person, year and label, and says how to fix
                it.
        """
        if unknown_levels not in ("error", "missing"):
            raise ValueError(f"unknown_levels {unknown_levels!r} is neither 'error' nor 'missing'")
        if isinstance(careers, CareerShards):
            return self._encode_shards(careers, unknown_levels)
        pieces, weights, altered = [], [], Counter[str]()
        has_weight, by_step, found, rows = False, False, None, 0
        for table in validated_pieces(careers):
            steps, unknown = self._encode_steps(table, unknown_levels == "missing", first_row=rows)
            altered.update(unknown)
            pieces.append(steps)
            has_weight = "weight" in table.column_names
            if has_weight and self.weight_scale is not None:
                by_step = is_list(table.schema.field("weight").type)
                weights.append((weights_by_step if by_step else weights_by_person)(table) * self.weight_scale)
            found = found or next((label.as_py() for label in list_values(table, "occupation")[:1]), None)
            rows += table.num_rows
        # One piece is used as it is.
        steps = pieces[0] if len(pieces) == 1 else FlatCareers.joined(pieces)
        self._check_coding(found, steps.labels)
        offsets = pa.array(np.append(0, steps.lengths.cumsum()), pa.int32())
        columns = {
            "input_ids": pa.ListArray.from_arrays(offsets, pa.array(steps.input_ids)),
            "labels": pa.ListArray.from_arrays(offsets, pa.array(steps.labels)),
        }
        if steps.covariates is not None:
            levels = pa.FixedSizeListArray.from_arrays(pa.array(steps.covariates.ravel()), len(self.covariate_names))
            columns["covariates"] = pa.ListArray.from_arrays(offsets, levels)
        columns["length"] = pa.array(steps.lengths, pa.int32())
        ledger = Ledger()
        years = len(steps.labels)
        ledger.record("encode careers", person_periods(self.time_unit), years, years, altered=dict(altered))
        if weights:
            scaled = pa.array(np.concatenate(weights), pa.float32())
            columns["weight"] = pa.ListArray.from_arrays(offsets, scaled) if by_step else scaled
        elif has_weight:
            ledger.note("weights left out: the processor was fitted without weights (extend it with weighted careers)")
        return make_dataset(columns), ledger

    def _encode_shards(
        self, careers: CareerShards, unknown_levels: Literal["error", "missing"]
    ) -> tuple[EncodedShards, Ledger]:
        stages, altered, digest = [], Counter[str](), sha256()
        notes: dict[str, None] = {}
        for part in careers:
            encoded, of_part = self.encode(part, unknown_levels)
            altered.update(of_part.entries[0].altered)
            notes |= dict.fromkeys(of_part.notes)
            stages.append(count_stage(career_table(encoded), "", self._sizes))
            digest.update(encoded._fingerprint.encode())
        counts = sum_counts(stages)
        ledger = Ledger()
        unit = person_periods(self.time_unit)
        ledger.record("encode careers", unit, careers.steps, counts["person_years"], altered=dict(altered))
        ledger.notes += notes
        encode = partial(self.encode, unknown_levels=unknown_levels)
        return EncodedShards(careers, encode, encoded.column_names, counts, digest.hexdigest()), ledger

    def _check_coding(self, found: str | None, labels: np.ndarray) -> None:
        """Refuses careers of another coding, of which nothing but the unknown occupation would be left.

        Args:
            found: The careers' first label.
            labels: `(steps,)`, ids of all labels.

        Raises:
            ValueError: No occupation of the careers is one of this processor's.
        """
        if self.unknown_occupation is None or not len(labels):
            return
        unknown = self.occupations.index(self.unknown_occupation)
        if (labels == unknown).all() and found != self.unknown_occupation:
            no_code = (*self.special_token_ids, unknown)
            known = next(label for i, label in enumerate(self.occupations) if i not in no_code)
            raise ValueError(
                f"no occupation of these careers is known to the model: they have {found!r} and the like, and it "
                f"knows {known!r} and the like; recode them (career_hf.occupations.recode), or fine-tune it"
            )

    def _encode_steps(
        self, table: pa.Table, unknown_is_missing: bool, first_row: int = 0
    ) -> tuple[FlatCareers, dict[str, int]]:
        """The ids of every step, and how many labels were altered, by reason; raises the errors of `encode`."""
        self.check_unit(time_unit(table))
        lengths = list_lengths(table, "year")
        labels, unknown = occupation_codes(
            table, self.occupations, self.special_token_ids, self.unknown_occupation, first_row
        )
        altered = {f"occupation outside the vocabulary, now '{self.unknown_occupation}'": unknown} if unknown else {}
        input_ids = np.empty_like(labels)
        input_ids[1:] = labels[:-1]
        input_ids[lengths.cumsum() - lengths] = self.bos_token_id
        covariates = np.empty((len(labels), len(self.covariate_names)), dtype=np.int32)
        for i, (name, levels) in enumerate(zip(self.covariate_names, self.covariate_levels, strict=True)):
            is_optional = name in self.optional_covariates
            if is_optional and name not in table.column_names:
                covariates[:, i] = 0
                altered[f"no column '{name}', now '{MISSING}'"] = len(labels)
                continue
            is_missing = unknown_is_missing or is_optional
            covariates[:, i], unknown, problem = level_codes(table, name, levels, is_missing, first_row)
            if unknown and is_optional and name == self.time_covariate:
                covariates[:, i] = nearest_years(table, levels)
                altered[f"{self.time_unit} never seen in training, now the nearest that was"] = unknown
            elif unknown:
                altered[f"level of '{name}' never seen in training, now '{MISSING}'"] = unknown
                logger.warning_once(problem)
        kinds = {field.name: field.type.value_type if is_list(field.type) else field.type for field in table.schema}
        self.warn_of_unused([name for name, kind in kinds.items() if is_text(kind)])
        return FlatCareers(lengths, input_ids, labels, covariates if self.covariate_names else None), altered

    def warn_of_unused(self, table: Any) -> None:
        """Warns of columns that are no covariates of the model, where optional ones are missing that they may be.

        Args:
            table: A long table, a mapping of one career, or the names of columns.
        """
        covariates = [name for name in self.covariate_names if name != "year"]
        # A covariate that is not optional is an error where it is missing.
        if problem := unused_columns(_columns(table), covariates) if self.optional_covariates else None:
            logger.warning_once(problem)

    def __call__(self, careers: Any, return_tensors: str | None = "pt") -> BatchFeature:
        """Turns a few careers into one padded batch: `model(**processor(careers))`.

        Args:
            careers: Careers; or a long table with columns person, year, occupation and the covariates; or a mapping
                with one person's lists (a covariate that does not change may be a single value).
            return_tensors: "pt", "np" or None.

        Returns:
            `input_ids`, `labels` and `attention_mask` of shape (careers, steps) and `covariates` of shape (careers,
            steps, covariates), absent if the model has none; padded on the `padding_side`, labels with -100. Careers
            from a table are sorted by person.

        Raises:
            ValueError: As in `encode` and `from_frame`.
        """
        if isinstance(careers, DatasetDict) or has_row_per_person(careers):
            pieces = [self._encode_steps(piece, unknown_is_missing=False) for piece in validated_pieces(careers)]
        else:
            # Arrow columns, because making a `datasets.Dataset` of one career takes longer than everything else.
            self.warn_of_unused(careers)
            covariates = self.columns_of(careers)
            frame = one_career(careers, covariates, self.time_unit) if isinstance(careers, Mapping) else careers
            names = frame if isinstance(frame, Mapping) else column_names(frame)
            year = period_column(names, self.time_unit)
            table = pa.table(career_columns(frame, year=year, covariates=covariates, unit=self.time_unit))
            pieces = [self._encode_steps(table, unknown_is_missing=False)]
        altered = Counter[str]()
        for _, of_piece in pieces:
            altered.update(of_piece)
        if altered:
            logger.warning_once(f"encoding careers altered {person_periods(self.time_unit)}: {dict(altered)}")
        steps = FlatCareers.joined([encoded for encoded, _ in pieces])
        return self._padded(steps, return_tensors)

    def columns_of(self, table: Any) -> list[str]:
        """The covariates other than the year that a long table, or a mapping of a career, has or has to have.

        Args:
            table: As in a call; an optional covariate that is none of its columns is left out.
        """
        needed = [name for name in self.covariate_names if name != "year"]
        columns = _columns(table)
        return [name for name in needed if name not in self.optional_covariates or name in columns]

    def pad(  # type: ignore[override]  # a parent's arguments for audio are left out
        self,
        processed_features: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool = True,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Pads encoded careers into one batch, as Transformers' `DataCollatorWithPadding` asks for it.

        Args:
            processed_features: Rows of an encoded dataset, or columns of several rows. Columns other than the model's
                inputs, such as `length` or ids of people, are ignored; `labels` may be absent.
            padding: True or "longest" pads to the longest career, "max_length" to `max_length`.
            max_length: Length of the padded careers with `padding="max_length"`.
            pad_to_multiple_of: Number to a multiple of which the length of the batch is filled.
            return_attention_mask: Whether the batch has an `attention_mask`.
            return_tensors: "pt", "np" or None, which is "np".

        Returns:
            `input_ids`, `labels` (-100 in padding) and `attention_mask`, `(careers, steps)`; `covariates`, `(careers,
            steps, covariates)`; `weight`, `(careers,)`, or `(careers, steps)` where each step has its own. Padding is
            on the processor's `padding_side`.

        Raises:
            ValueError: These are no encoded careers, or only one row; a career is longer than `max_length`, `padding`
                is False and careers differ in length, or a career lacks a column that another has.
        """
        if isinstance(processed_features, Mapping):
            processed_features = _rows_of_columns(processed_features)
        if not isinstance(padding, bool) and padding not in list(PaddingStrategy):
            raise ValueError(
                f"padding is {padding!r}, and must be True, False, 'longest', 'max_length' or 'do_not_pad'"
            )
        strategy = PaddingStrategy.LONGEST if padding is True else PaddingStrategy(padding or "do_not_pad")
        steps = FlatCareers.from_rows(processed_features)
        shortest, longest = int(steps.lengths.min()), int(steps.lengths.max())
        min_length = 0
        if strategy is PaddingStrategy.MAX_LENGTH:
            if max_length is None or longest > max_length:
                raise ValueError(f"the longest career has {longest} steps and max_length is {max_length}: raise it")
            min_length = max_length
        elif strategy is PaddingStrategy.DO_NOT_PAD and shortest != longest:
            raise ValueError(f"careers have {shortest} to {longest} steps, so a batch of them needs padding=True")
        return self._padded(steps, return_tensors, pad_to_multiple_of, min_length, return_attention_mask)

    def _padded(
        self,
        steps: FlatCareers,
        return_tensors: str | None,
        pad_to_multiple_of: int | None = None,
        min_length: int = 0,
        return_attention_mask: bool = True,
    ) -> BatchFeature:
        collate = PaddingCollator(
            self.pad_token_id, self.padding_side, pad_to_multiple_of, min_length, return_attention_mask
        )
        batch = collate(steps)
        if return_tensors != "pt":
            batch = {name: values.numpy() for name, values in batch.items()}
        return BatchFeature(batch, tensor_type=return_tensors)

    def decode(self, ids: Any) -> Any:
        """Turns ids into labels.

        Args:
            ids: A number, a list of any depth, an array or a tensor.

        Returns:
            Labels, as a list of the same shape or one label for a number; None where the id is -100.

        Raises:
            ValueError: If an id is outside the vocabulary.
        """
        ids = np.asarray(ids.tolist() if hasattr(ids, "tolist") else ids)
        last = len(self.occupations) - 1
        outside = ids[(ids != -100) & ((ids < 0) | (ids > last))]
        if outside.size:
            raise ValueError(f"id {outside.flat[0]} is not an occupation: ids go from 0 to {last}")
        # The label of -100 is the last one, at index -1.
        labels = np.array([*self.occupations, None], dtype=object)
        return np.asarray(labels[np.where(ids == -100, -1, ids)], dtype=object).tolist()

    def occupation_ids(self, labels: Sequence[str]) -> np.ndarray:
        """The ids of occupation labels, in int32; an unknown label becomes `unknown_occupation`.

        Raises:
            ValueError: If a label is not known and `unknown_occupation` is None.
        """
        check_names(labels=labels)
        codes = index_occupations(pa.array(labels, pa.string()), self.occupations, self.special_token_ids)
        if (codes < 0).any() and self.unknown_occupation is None:
            label = labels[int(np.argmin(codes))]
            raise ValueError(f"occupation {label!r} is not in the vocabulary; correct it, or add it with extend")
        if (codes < 0).any():
            codes[codes < 0] = self.occupations.index(str(self.unknown_occupation))
        return codes

    def level_ids(self, covariate: str, labels: Sequence[str | None]) -> np.ndarray:
        """The ids of a covariate's levels, in int32; None is "missing".

        Raises:
            ValueError: If the covariate is not one of the model's, or a level is not known.
        """
        named = labels if isinstance(labels, str) else [MISSING if label is None else label for label in labels]
        check_names(labels=named)
        if covariate not in self.covariate_names:
            raise ValueError(f"'{covariate}' is not one of the model's covariates, which are {self.covariate_names}")
        levels = self.covariate_levels[self.covariate_names.index(covariate)]
        codes = index_labels(pa.array(named, pa.string()), levels)
        if (codes < 0).any():
            label = labels[int(np.argmin(codes))]
            raise ValueError(
                f"level {label!r} of covariate '{covariate}' is not known; correct it or add it with extend"
            )
        return codes

    def check_unit(self, unit: str) -> None:
        """Checks that careers count time as the training careers did.

        Raises:
            ValueError: They are in another unit.
        """
        if unit != self.time_unit:
            raise ValueError(
                f"the careers are in {plural(unit)}, and the model was trained on {plural(self.time_unit)}: make them "
                f"with from_frame(..., unit='{self.time_unit}')"
            )

    @property
    def id2label(self) -> dict[int, str]:
        """The label of every id, special ids included."""
        return dict(enumerate(self.occupations))

    def extend(
        self,
        careers: Dataset | CareerShards | None = None,
        occupations: Sequence[str] = (),
        covariates: Sequence[str] = (),
        unknown_occupation: str | None = None,
    ) -> CareerProcessor:
        """A processor for fine-tuning, in which known labels keep their ids and new ones are appended.

        Then call `model.resize_vocabulary(old, new)`.

        Args:
            careers: Training careers of the next stage. Their new occupations (most frequent first) and levels are
                appended, and they determine step length and weight scale.
            occupations: Further occupations to append.
            covariates: New covariates, columns of `careers` or "year".
            unknown_occupation: Occupation for unknown labels, appended if it is new; None keeps the present one.

        Returns:
            A new processor; this one is unchanged.

        Raises:
            ValueError: If new covariates are named without careers, or careers lack a covariate.
        """
        check_names(occupations=occupations, covariates=covariates)
        state = copy.deepcopy(self.__dict__)
        new_names = [name for name in dict.fromkeys(covariates) if name not in self.covariate_names]
        if new_names and careers is None:
            raise ValueError(
                f"the levels of new covariates {new_names} are unknown: pass the training careers as careers="
            )
        state["covariate_names"] += new_names
        state["covariate_levels"] += [[MISSING] for _ in new_names]
        counts: dict[str, int] = {}
        if careers is not None:
            absent = set(self.optional_covariates) - {self.time_covariate, *getattr(careers, "column_names", ())}
            seen = _Seen([name for name in state["covariate_names"] if name not in absent])
            for piece in validated_pieces(careers):
                seen.add(piece)
            self.check_unit(seen.time_unit)
            counts = seen.occupations
            for name, levels in zip(state["covariate_names"], state["covariate_levels"], strict=True):
                if name in absent:
                    continue
                old_levels = set(levels)
                levels += [level for level in seen.levels[name] if level not in old_levels]
            state |= {"step_length": seen.step_length, "weight_scale": seen.weight_scale}
        further = [*by_frequency(counts), *occupations, *([unknown_occupation] if unknown_occupation else [])]
        state["occupations"] = list(dict.fromkeys([*self.occupations, *further]))
        state["unknown_occupation"] = unknown_occupation or self.unknown_occupation
        state["time_covariate"] = "year" if "year" in state["covariate_names"] else None
        sizes = [len(state["occupations"]), *map(len, state["covariate_levels"])]
        state["training_stages"] = [pad_stage(stage, sizes) for stage in self.training_stages]
        return type(self)(**state)

    def record_training(
        self, encoded: Dataset | EncodedShards, stage: str, source: Mapping[str, Any] | None = None
    ) -> None:
        """Records counts of each occupation (as y_t) and covariate level in training, which forecasts need.

        Args:
            encoded: The training set of a run, as `encode` returns it.
            stage: Name of the stage, such as "pretraining" or "finetuning". A repeated stage is a further entry.
            source: Source of the careers, as `careers.provenance.source_of` returns it; unknown if None.

        Raises:
            ValueError: If the training set has ids that this processor does not have.
        """
        if isinstance(encoded, EncodedShards):
            counted = {**encoded.counts, "stage": stage, "source": dict(UNKNOWN_SOURCE if source is None else source)}
            check_stage(counted, self._sizes)
        else:
            counted = count_stage(career_table(encoded), stage, self._sizes, source)
        self.training_stages.append(counted)

    def trained_counts(self, stage: str | None = None) -> tuple[np.ndarray, list[np.ndarray]]:
        """Counts of each id in a training stage, summed over its entries.

        Args:
            stage: Name of the stage; the last recorded one if None.

        Returns:
            Counts by occupation id, and for each covariate counts by level id.

        Raises:
            ValueError: If the stage was not recorded.
        """
        return sum_stage(self.training_stages, stage)

    def last_trained_year(self, stage: str | None = None) -> int:
        """The latest year in a training stage (the last recorded stage if None); later years are untrained.

        Raises:
            ValueError: If the year is not a covariate, or the stage was not recorded or saw no year.
        """
        if self.time_covariate is None:
            raise ValueError("the year is not a covariate of this model, so there is no last trained year")
        place = self.covariate_names.index(self.time_covariate)
        seen = np.flatnonzero(self.trained_counts(stage)[1][place])
        years = [int(self.covariate_levels[place][i]) for i in seen if i > 0]
        if not years:
            raise ValueError(f"no year was trained on in stage {stage!r}: every year was missing")
        return max(years)

    def config_kwargs(self) -> dict[str, Any]:
        """Fields of a config for this processor: `CareerConfig(**processor.config_kwargs(), hidden_size=64)`."""
        return {
            "vocab_size": len(self.occupations),
            "covariate_names": list(self.covariate_names),
            "covariate_sizes": [len(levels) for levels in self.covariate_levels],
            "levels_sha256": dict(zip(self.covariate_names, map(hash_of_levels, self.covariate_levels), strict=True)),
            "id2label": self.id2label,
            "label2id": {label: i for i, label in enumerate(self.occupations)},
            "special_token_ids": list(self.special_token_ids),
            "pad_token_id": self.pad_token_id,
            "bos_token_id": self.bos_token_id,
        }

    def check(self, config: Any) -> None:
        """Checks that a model's config has this processor's vocabulary and levels.

        Levels are compared by their hashes, where the config has them; other configs only tell how many there are.

        Raises:
            ValueError: If they differ; the message names the field, the first id and its two labels, or the covariate.
        """
        fix = "load both from one checkpoint, or move the model with model.resize_vocabulary(old, new)"
        expected = self.config_kwargs()
        labels, hashes = expected.pop("id2label"), expected.pop("levels_sha256")
        del expected["label2id"]
        config_labels = {int(i): label for i, label in (config.id2label or {}).items()}
        for i in range(max(len(labels), config.vocab_size)):
            label, config_label = labels.get(i), config_labels.get(i)
            if label != config_label:
                sizes = f"{len(labels)} and {config.vocab_size} ids"
                raise ValueError(
                    f"the processor has occupation {label!r} at id {i}, the config {config_label!r} ({sizes}): {fix}"
                )
        for name, value in expected.items():
            config_value = getattr(config, name, None)
            if isinstance(value, list):
                config_value = list(config_value or [])
            if name == "special_token_ids":
                value, config_value = sorted(value), sorted(config_value or [])
            if value != config_value:
                raise ValueError(f"the processor has {name} {value}, the config {config_value}: {fix}")
        recorded = getattr(config, "levels_sha256", None) or {}
        for name, levels in zip(self.covariate_names, self.covariate_levels, strict=True):
            if recorded.get(name, hashes[name]) != hashes[name]:
                raise ValueError(
                    f"the processor has levels of covariate '{name}', {short(levels)}, that are not those of the "
                    f"model, or have another order: {fix}; for levels that were renamed on purpose, "
                    "model.config.update(processor.config_kwargs())"
                )

    @property
    def _sizes(self) -> list[int]:
        """The number of occupation ids, then of the levels of each covariate."""
        return [len(self.occupations), *map(len, self.covariate_levels)]

    def _check_state(self) -> None:
        """Raises a ValueError if the state contradicts itself."""
        if len(self.covariate_names) != len(self.covariate_levels):
            raise ValueError(
                f"there are {len(self.covariate_names)} covariate_names and {len(self.covariate_levels)} "
                "covariate_levels: give the levels of each covariate"
            )
        if self.time_covariate not in (None, *self.covariate_names):
            raise ValueError(f"time_covariate {self.time_covariate!r} is not one of {self.covariate_names}")
        if self.time_unit not in PER_YEAR:
            raise ValueError(f"time_unit is {self.time_unit!r}, but must be one of {', '.join(map(repr, PER_YEAR))}")
        if not self.step_length >= 1:
            units = plural(self.time_unit)
            raise ValueError(f"step_length is {self.step_length!r}, but must be a number of {units}, 1 or more")
        if self.weight_scale is not None and not 0 < self.weight_scale < inf:
            raise ValueError(f"weight_scale is {self.weight_scale!r}, but must be a finite number above 0")
        for i in (self.pad_token_id, self.bos_token_id, *self.special_token_ids):
            if not 0 <= i < len(self.occupations):
                raise ValueError(f"special id {i} is outside the vocabulary of {len(self.occupations)} occupations")
        if len(set(self.covariate_names)) != len(self.covariate_names):
            raise ValueError(f"covariate_names {self.covariate_names} has a name twice: name each covariate once")
        vocabularies = dict(zip(self.covariate_names, self.covariate_levels, strict=True))
        for name, labels in [("occupation", self.occupations), *vocabularies.items()]:
            if len(set(labels)) != len(labels):
                twice = next(label for label in labels if labels.count(label) > 1)
                raise ValueError(f"{name} {twice!r} has two ids, so it is ambiguous: rename one of the two")
            if name in vocabularies and labels[:1] != [MISSING]:
                raise ValueError(f"level 0 of covariate '{name}' is {labels[:1]}, but must be '{MISSING}'")
        if missing := {self.pad_token_id, self.bos_token_id} - set(self.special_token_ids):
            raise ValueError(
                f"special_token_ids {self.special_token_ids} must contain pad_token_id and bos_token_id: add "
                f"{sorted(missing)}"
            )
        if unknown := [name for name in self.optional_covariates if name not in self.covariate_names]:
            raise ValueError(f"optional covariate '{unknown[0]}' is none of the covariates {self.covariate_names}")
        if self.padding_side not in ("right", "left"):
            raise ValueError(f"padding_side is {self.padding_side!r}, which is neither 'right' nor 'left'")
        if self.padding_value != 0:
            raise ValueError(f"padding_value is {self.padding_value!r}, but padded steps have level 0, '{MISSING}'")
        if self.unknown_occupation is not None and self.unknown_occupation not in self.occupations:
            raise ValueError(f"unknown_occupation {self.unknown_occupation!r} is not in occupations: add it there")
        for stage in self.training_stages:
            check_stage(stage, self._sizes)


def _columns(table: Any) -> list[str]:
    """The columns of a long table, or the names in a mapping or a list."""
    if isinstance(table, (Mapping, list)):
        return list(table)
    return list(getattr(table, "column_names", getattr(table, "columns", ())))


def _rows_of_columns(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an encoded batch that is given by its columns; raises a ValueError if it is a single row."""
    lengths = {name: len(values) if hasattr(values, "__len__") else None for name, values in columns.items()}
    if any(np.ndim(row) == 0 for row in columns.get("input_ids", [])[:1]):
        raise ValueError("one encoded career is no batch: pass a list with it, pad([career])")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of a batch need one entry for each career, and theirs are {lengths}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


class _Seen:
    """What a processor learns from careers, gathered piece by piece.

    Attributes:
        people: The number of careers.
        occupations: The number of times that each label occurs.
        time_unit: The unit of time, in which all careers must be.
    """

    def __init__(self, covariates: Sequence[str]):
        self.people = 0
        self.time_unit: TimeUnit = "year"
        self.occupations = Counter[str]()
        self._levels: dict[str, set[str]] = {name: set() for name in covariates}
        self._gaps = Counter[int]()
        self._steps, self._weight, self._weighted = 0, 0.0, False

    def add(self, table: pa.Table) -> None:
        unit = time_unit(table)
        if self.people and table.num_rows and unit != self.time_unit:
            raise ValueError(f"some careers are in {plural(self.time_unit)} and others in {plural(unit)}: choose one")
        self.time_unit = unit if table.num_rows else self.time_unit
        self.people += table.num_rows
        self.occupations.update(label_counts(list_values(table, "occupation")))
        for name, levels in self._levels.items():
            levels.update(learn_levels(table, name))
        lengths = list_lengths(table, "year")
        has_earlier_year = np.ones(lengths.sum(), dtype=bool)
        has_earlier_year[np.cumsum(lengths) - lengths] = False
        differences = np.diff(list_values(table, "year").to_numpy(), prepend=0)
        gaps, counts = np.unique(differences[has_earlier_year], return_counts=True)
        self._gaps.update(dict(zip(gaps.tolist(), counts.tolist(), strict=True)))
        self._steps += int(lengths.sum())
        if "weight" in table.column_names:
            self._weighted = True
            self._weight += float(np.dot(weights_by_person(table), lengths))

    @property
    def levels(self) -> dict[str, list[str]]:
        """The sorted levels of each covariate."""
        return {name: sort_labels(pa.array(levels, pa.string())).to_pylist() for name, levels in self._levels.items()}

    @property
    def step_length(self) -> int:
        """The most common gap between a person's observed years; the shortest if several are, and 1 if none is."""
        return min(self._gaps, key=lambda gap: (-self._gaps[gap], gap), default=1)

    @property
    def weight_scale(self) -> float | None:
        """The factor that gives survey weights a mean of 1 per person-year; None for careers without weights."""
        if not self._weighted:
            return None
        if not self._weight > 0:
            raise ValueError(
                "column 'weight' is 0 for everybody in every year: correct it, or drop it to train unweighted"
            )
        return self._steps / self._weight
