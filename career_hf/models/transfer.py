"""Vocabulary transfer by name: one pretrained checkpoint serves any survey (Section 2.3 and Appendix F of the paper).

An occupation or covariate level that is in both processors keeps its weights, whatever its ids; new ones get random
weights. The original program matched weights by position, and so needed one pretraining for each survey.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn, no_grad

from .own_history import years_of_levels
from .title_embeddings import carry_titles, occupation_embedding, occupation_output


# A CareerProcessor. Its module is not imported, not even for typing: a checkpoint with code has every file that this
# one imports, and the processor's files need packages that a model does not need.
CareerProcessor = Any
Table = TypeVar("Table", nn.Linear, nn.Embedding)


@dataclass
class TransferReport:
    """Names that a vocabulary transfer kept, added and dropped, for "occupation" and for each covariate."""

    kept: dict[str, list[str]] = field(default_factory=dict)
    fresh: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)

    def record(self, table: str, old_names: list[str], new_names: list[str]) -> None:
        """Records the names of one table, "occupation" or a covariate, before and after."""
        old, new = set(old_names), set(new_names)
        self.kept[table] = [name for name in new_names if name in old]
        self.fresh[table] = [name for name in new_names if name not in old]
        self.dropped[table] = [name for name in old_names if name not in new]

    def __str__(self) -> str:
        return "\n".join(
            f"{table}: {len(self.kept[table])} kept, {len(self.fresh[table])} fresh, "
            f"{len(self.dropped[table])} dropped"
            for table in self.kept
        )


def resize_vocabulary(
    model: Any,
    old: CareerProcessor,
    new: CareerProcessor,
    titles: Mapping[str, Any] | None = None,
    untitled: Collection[str] = (),
) -> TransferReport:
    """Gives a model the vocabulary and covariates of another processor, moving weights by name.

    New rows are drawn as in a new model (normal, standard deviation `config.initializer_range`), also in the output
    layer, so that before fine-tuning a new occupation is about as likely as an average one. In a model with titles an
    occupation in both processors keeps its title vector, and a new one starts from its title alone.

    Args:
        model: A [`CareerForOccupationPrediction`]; the model and its config change in place.
        old: The processor with which the model was trained.
        new: The processor for further training, usually `old.extend(...)`.
        titles: For a model with titles, vectors of new occupations by label, from the encoder of the other vectors.
        untitled: New occupations that have no title, such as "unknown".

    Returns:
        The occupations, levels and covariates that kept their weights, got new ones or were dropped.

    Raises:
        ValueError: If `old` is not the processor of this model, if a new occupation of a model with titles has no
            title vector, or if there are titles for a model without.
    """
    old.check(model.config)
    transformer, size, title_size = model.model, model.config.hidden_size, model.config.title_embedding_size
    if titles is not None and title_size is None:
        raise ValueError(
            "this model has no place for titles: load it with from_pretrained(folder, title_embedding_size=...) and "
            "give it those of its own occupations first, with model.set_title_embeddings"
        )

    def fill(table: Table, source: Table | nn.Module | None, old_names: list[str], new_names: list[str]) -> Table:
        model._init_weights(table)
        table.to(device=model.device, dtype=model.dtype)
        if isinstance(source, (nn.Linear, nn.Embedding)):
            old_row = {name: i for i, name in enumerate(old_names)}
            rows = [i for i, name in enumerate(new_names) if name in old_row]
            with no_grad():
                table.weight[rows] = source.weight[[old_row[new_names[i]] for i in rows]]
        return table

    report = TransferReport()
    report.record("occupation", old.occupations, new.occupations)
    count = len(new.occupations)
    before, after = old.occupations, new.occupations
    embed_tokens = fill(occupation_embedding(count, size, title_size), transformer.embed_tokens, before, after)
    lm_head = fill(occupation_output(size, count, title_size), model.lm_head, before, after)
    if title_size is not None:
        not_titled = [*untitled, *(after[i] for i in new.special_token_ids)]
        carry_titles(transformer.embed_tokens, embed_tokens, before, after, titles or {}, not_titled)
        carry_titles(model.lm_head, lm_head, before, after, titles or {}, not_titled)

    old_levels = dict(zip(old.covariate_names, old.covariate_levels, strict=True))
    new_levels = dict(zip(new.covariate_names, new.covariate_levels, strict=True))
    tables = nn.ModuleDict()
    for name, levels in new_levels.items():
        source = transformer.embed_covariates[name] if name in old_levels else None
        tables[name] = fill(nn.Embedding(len(levels), size), source, old_levels.get(name, []), levels)
    for name in [*new_levels, *(name for name in old_levels if name not in new_levels)]:
        report.record(name, old_levels.get(name, []), new_levels.get(name, []))

    transformer.embed_tokens, model.lm_head, transformer.embed_covariates = embed_tokens, lm_head, tables
    if model.config.level_years:
        model.config.level_years = {}
    for key, value in new.config_kwargs().items():
        setattr(model.config, key, value)
    if model.config.career_features or model.config.return_pointer:
        model.config.level_years = years_of_levels(new)
    return report
