"""Title-aware occupations, whose weights include projections of vectors of their titles.

    e_y(j)  = w_j + P v_j                                                      input, Eq. 4
    beta_j  = u_j + Q v_j                                                      output, Eq. 2

v_j is a vector of the title of occupation j from any text encoder, and stays fixed. P and Q are learned for all
occupations together, w_j and u_j for each occupation. So a rare occupation shares what is learned with occupations of
similar titles, and an occupation without training data has weights as soon as it has a title. This is not in the
paper. There are two projections because e_y and beta are separate parameters in the paper and in the original program.

P and Q start at zero: a model with titles starts like a model without titles, with the same random draws, and a
trained model that gets titles keeps its predictions until it is trained further. An occupation that is new to a
trained model, however, starts with w_j = u_j = 0, from its title alone.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .cpu_layers import Linear


class TitleProjection(nn.Module):
    """P v_j of every occupation, `(vocabulary, hidden)`: a learned projection of fixed vectors.

    Args:
        vocab_size: Number of occupation ids.
        title_embedding_size: Length of v_j.
        hidden_size: D.
    """

    title_embeddings: torch.Tensor

    def __init__(self, vocab_size: int, title_embedding_size: int, hidden_size: int):
        super().__init__()
        self.register_buffer("title_embeddings", torch.zeros(vocab_size, title_embedding_size))
        self.weight = nn.Parameter(torch.zeros(hidden_size, title_embedding_size))

    def forward(self) -> torch.Tensor:
        return F.linear(self.title_embeddings, self.weight)


class TitledEmbedding(nn.Embedding):
    """e_y(j) = w_j + P v_j; `weight` holds w_j."""

    def __init__(self, vocab_size: int, hidden_size: int, title_embedding_size: int):
        super().__init__(vocab_size, hidden_size)
        self.title_projection = TitleProjection(vocab_size, title_embedding_size, hidden_size)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return super().forward(input_ids) + F.embedding(input_ids, self.title_projection())


class TitledLinear(nn.Linear):
    """beta_j . h with beta_j = u_j + Q v_j; `weight` holds u_j."""

    def __init__(self, hidden_size: int, vocab_size: int, title_embedding_size: int):
        super().__init__(hidden_size, vocab_size, bias=False)
        self.title_projection = TitleProjection(vocab_size, title_embedding_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden_states, self.weight + self.title_projection())


def occupation_embedding(vocab_size: int, hidden_size: int, title_embedding_size: int | None) -> nn.Embedding:
    """e_y of Eq. 4: a plain table without titles, a [`TitledEmbedding`] with titles."""
    if title_embedding_size is None:
        return nn.Embedding(vocab_size, hidden_size)
    return TitledEmbedding(vocab_size, hidden_size, title_embedding_size)


def occupation_output(hidden_size: int, vocab_size: int, title_embedding_size: int | None) -> nn.Linear:
    """beta of Eq. 2: a plain layer without titles, a [`TitledLinear`] with titles."""
    if title_embedding_size is None:
        return Linear(hidden_size, vocab_size, bias=False)
    return TitledLinear(hidden_size, vocab_size, title_embedding_size)


def init_titles(module: nn.Module) -> None:
    """Initialises a [`TitleProjection`] so that titles add nothing; other modules do not change."""
    if isinstance(module, TitleProjection):
        init.zeros_(module.weight)
        init.zeros_(module.title_embeddings)


def title_rows(
    titles: Mapping[str, Any], occupations: Collection[str], size: int, untitled: Collection[str] = ()
) -> torch.Tensor:
    """Vectors of some occupations as rows, `(occupations, size)` in float32.

    Args:
        titles: Vector of length `size` by occupation label, as an array, list or tensor; may have further occupations.
        occupations: Labels, in the order of the rows.
        size: Length of the vectors.
        untitled: Occupations among them that have no title, such as "unknown"; their rows are zeros.

    Raises:
        ValueError: If an occupation has no vector, or one that is not finite or of another length; the message names
            the occupation.
    """
    rows = torch.zeros(len(occupations), size)
    missing = [label for label in occupations if label not in titles and label not in untitled]
    if missing:
        raise ValueError(
            f"occupation '{missing[0]}' has no title vector ({len(missing)} of {len(occupations)} have none): add it, "
            "or name it in untitled= if it has no title"
        )
    for row, label in zip(rows, occupations, strict=True):
        if label in untitled:
            continue
        vector = np.asarray(titles[label], dtype=np.float32)
        if vector.shape != (size,):
            raise ValueError(
                f"the title vector of occupation '{label}' has shape {vector.shape}, and the model's are ({size},): "
                "make all with one encoder, and the model with its title_embedding_size"
            )
        if not np.isfinite(vector).all():
            raise ValueError(
                f"the title vector of occupation '{label}' is not finite: make it again, or name the "
                "occupation in untitled="
            )
        row.copy_(torch.from_numpy(vector))
    return rows


def set_title_embeddings(model: Any, titles: Mapping[str, Any], untitled: Collection[str] = ()) -> None:
    """Gives a model the title vectors of its occupations, in place.

    Vectors of about unit length, as most sentence encoders give them, suit the learning rates of the recipes.

    Args:
        model: A [`CareerForOccupationPrediction`] made with `title_embedding_size`.
        titles: Vector of that length by occupation label: `dict(zip(labels, encoder.encode(texts)))`.
        untitled: Occupations of the model that have no title, such as "unknown"; they have only their own weights.

    Raises:
        ValueError: If the model has no place for titles, or an occupation has no vector, or one that is not finite or
            of another length; the message names the occupation.

    Example:
        >>> from career_hf import CareerConfig, CareerForOccupationPrediction
        >>> labels = {0: "<pad>", 1: "<start>", 2: "cook", 3: "chef"}
        >>> model = CareerForOccupationPrediction(CareerConfig(vocab_size=4, id2label=labels, title_embedding_size=2))
        >>> model.set_title_embeddings({"cook": [1.0, 0.0], "chef": [0.8, 0.6]})
        >>> model.lm_head.title_projection.title_embeddings[3].tolist()
        [0.800000011920929, 0.6000000238418579]
    """
    size, special = model.config.title_embedding_size, set(model.config.special_token_ids)
    if size is None:
        raise ValueError(
            "this model has no place for titles: make it with CareerConfig(title_embedding_size=...), or load it with "
            "from_pretrained(folder, title_embedding_size=...), the length of the vectors"
        )
    places = {label: i for i, label in model.config.id2label.items() if i not in special}
    unknown = [label for label in untitled if label not in places]
    if unknown:
        raise ValueError(f"untitled= names '{unknown[0]}', which is not an occupation of the model")
    rows = title_rows(titles, list(places), size, untitled)
    for table in (model.model.embed_tokens, model.lm_head):
        table.title_projection.title_embeddings.zero_()  # for special ids
        table.title_projection.title_embeddings[list(places.values())] = rows.to(model.device, model.dtype)


def maker_with_titles(
    model_class: type[Any], titles: Mapping[str, Any] | None, untitled: Collection[str] = ()
) -> Callable[[Any], Any]:
    """A function from a config to a new model with title vectors, as training takes it; the class if there are none.

    Args:
        model_class: [`CareerForOccupationPrediction`], or any class if there are no titles.
        titles, untitled: As in `set_title_embeddings`.
    """
    if titles is None:
        return model_class

    def make_model(config: Any) -> Any:
        model = model_class(config)
        model.set_title_embeddings(titles, untitled)
        return model

    return make_model


def carry_titles(
    source: Any,
    table: Any,
    before: Sequence[str],
    after: Sequence[str],
    titles: Mapping[str, Any],
    untitled: Collection[str],
) -> None:
    """Fills the titles of a table with another vocabulary; its new occupations start from their titles alone.

    Args:
        source, table: Two [`TitledEmbedding`]s or [`TitledLinear`]s, of the model before and after.
        before, after: Occupations of `source` and of `table`, in order.
        titles: Title vectors by label; vectors of occupations that `source` knows are ignored.
        untitled: New occupations without a title.

    Raises:
        ValueError: As in `title_rows`.
    """
    old_titles = dict(zip(before, source.title_projection.title_embeddings.float().cpu(), strict=True))
    new = [label for label in after if label not in old_titles]
    size = source.title_projection.title_embeddings.shape[1]
    new_titles = dict(zip(new, title_rows(titles, new, size, untitled), strict=True))
    rows = torch.stack([old_titles[label] if label in old_titles else new_titles[label] for label in after])
    with torch.no_grad():
        table.title_projection.title_embeddings.copy_(rows)
        table.title_projection.weight.copy_(source.title_projection.weight)
        table.weight[[i for i, label in enumerate(after) if label in new_titles and label not in untitled]] = 0


def check_title_embeddings(model: Any) -> None:
    """Raises a ValueError if a model has a place for titles and no titles."""
    if getattr(model.config, "title_embedding_size", None) is None:
        return
    vectors = [buffer for name, buffer in model.named_buffers() if name.endswith("title_embeddings")]
    if not any(buffer.any() for buffer in vectors):
        raise ValueError(
            f"the model has title_embedding_size={model.config.title_embedding_size} and no titles: call "
            "model.set_title_embeddings(...) first"
        )


def save_title_embeddings(path: str | Path, titles: Mapping[str, Any]) -> None:
    """Writes title vectors to a safetensors file, which `career-hf train --title-embeddings` reads.

    Args:
        path: Path of the file.
        titles: Vector by occupation label, all of one length.

    Raises:
        ValueError: If vectors have different lengths or are not finite.
    """
    if not titles:
        raise ValueError("there are no title vectors to save")
    size = len(next(iter(titles.values())))
    rows = title_rows(titles, list(titles), size)
    labels = json.dumps(list(titles), ensure_ascii=False)
    save_file({"title_embeddings": rows.numpy()}, path, metadata={"occupations": labels})


def load_title_embeddings(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a file that `save_title_embeddings` wrote.

    Returns:
        Vector by occupation label, in float32.

    Raises:
        ValueError: If the file has another layout.
    """
    with safe_open(path, framework="numpy") as opened:
        labels = json.loads((opened.metadata() or {}).get("occupations", "[]"))
        names = list(opened.keys())
        rows = opened.get_tensor("title_embeddings") if names == ["title_embeddings"] else np.zeros((0, 0))
    if not labels or rows.ndim != 2 or len(rows) != len(labels) or len(set(labels)) != len(labels):
        raise ValueError(
            f"{path} has the tensors {names} of shape {rows.shape} and {len(labels)} occupation labels, where one "
            "tensor 'title_embeddings' with a row for each label belongs: write it with save_title_embeddings"
        )
    return dict(zip(labels, np.asarray(rows, dtype=np.float32), strict=True))


__all__ = [
    "TitleProjection",
    "TitledEmbedding",
    "TitledLinear",
    "carry_titles",
    "check_title_embeddings",
    "init_titles",
    "load_title_embeddings",
    "maker_with_titles",
    "occupation_embedding",
    "occupation_output",
    "save_title_embeddings",
    "set_title_embeddings",
    "title_rows",
]
