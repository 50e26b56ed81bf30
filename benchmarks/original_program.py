"""A stand-in for the original program (keyonvafa/career-code, fairseq), for comparisons of speed.

Its model, batches, loss, optimizer and loop are written out in plain PyTorch as `docs/explanation/speed.md` describes
them, so that a comparison needs no installation of the original, which current versions of Python cannot run. It is a
stand-in for speed alone: its weights are random, and `career_hf.original` converts real checkpoints.

What it does as the original does: one linear layer each for queries, keys and values, attention by
`torch.nn.functional.multi_head_attention_forward` in `(time, batch, hidden)` with a causal mask and a mask of padding,
dropout by `torch.nn.functional.dropout`, GELU in float32, probabilities of all occupations at all positions with the
previous occupation's logit set to -inf, batches of rows sorted by length that count padding and the end symbol, and in
scoring at most 1,200 positions or 100 rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from career_hf import CareerConfig
from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.models.positions import sinusoidal_positions


PADDING = -100
Batch = dict[str, torch.Tensor]


class OriginalAttention(nn.Module):
    """Attention of fairseq: separate projections, and PyTorch's function for multi-headed attention."""

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.hidden, self.heads, self.dropout = hidden, heads, dropout
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(hidden, hidden) for _ in range(3))
        self.out_proj = nn.Linear(hidden, hidden)

    def forward(self, x: torch.Tensor, future: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        return F.multi_head_attention_forward(
            x,
            x,
            x,
            self.hidden,
            self.heads,
            torch.empty(0),
            torch.cat((self.q_proj.bias, self.k_proj.bias, self.v_proj.bias)),
            None,
            None,
            False,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            padding,
            False,
            future,
            use_separate_proj_weight=True,
            q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight,
            v_proj_weight=self.v_proj.weight,
        )[0]


class OriginalLayer(nn.Module):
    """One layer, with LayerNorm before attention and before the feedforward network."""

    def __init__(self, config: CareerConfig):
        super().__init__()
        hidden = config.hidden_size
        self.dropout = config.hidden_dropout
        self.self_attn = OriginalAttention(hidden, config.num_attention_heads, config.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(hidden)
        self.fc1 = nn.Linear(hidden, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, hidden)
        self.final_layer_norm = nn.LayerNorm(hidden)

    def forward(self, x: torch.Tensor, future: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        attended = self.self_attn(self.self_attn_layer_norm(x), future, padding)
        x = x + F.dropout(attended, self.dropout, self.training)
        inner = self.fc1(self.final_layer_norm(x))
        inner = self.fc2(F.gelu(inner.float()).type_as(inner))
        return x + F.dropout(inner, self.dropout, self.training)


class OriginalModel(nn.Module):
    """The architecture `career`, with the sizes of a config."""

    def __init__(self, config: CareerConfig):
        super().__init__()
        hidden = config.hidden_size
        self.hidden, self.dropout = hidden, config.hidden_dropout
        self.embed_tokens = nn.Embedding(config.vocab_size, hidden)
        self.embed_covariates = nn.ModuleList(nn.Embedding(size, hidden) for size in config.covariate_sizes)
        self.layers = nn.ModuleList(OriginalLayer(config) for _ in range(config.num_hidden_layers))
        self.layer_norm = nn.LayerNorm(hidden)
        self.output_projection = nn.Linear(hidden, config.vocab_size + 1, bias=False)
        for table in (self.embed_tokens, *self.embed_covariates, self.output_projection):
            nn.init.normal_(table.weight, std=hidden**-0.5)

    def forward(self, batch: Batch) -> torch.Tensor:
        """log p of every occupation at every position, `(batch, time, vocabulary)`."""
        ids, real = batch["input_ids"], batch["real"]
        time = ids.shape[1]
        x = math.sqrt(self.hidden) * self.embed_tokens(ids)
        x = x + sinusoidal_positions(torch.arange(time).expand_as(ids), self.hidden)
        for table, levels in zip(self.embed_covariates, batch["covariates"].unbind(-1), strict=True):
            x = x + table(levels)
        x = F.dropout(x, self.dropout, self.training).transpose(0, 1)
        future = torch.full((time, time), -torch.inf).triu(1)
        padding = None if real.all() else torch.zeros(real.shape).masked_fill(~real, -torch.inf)
        for layer in self.layers:
            x = layer(x, future, padding)
        logits = self.output_projection(self.layer_norm(x).transpose(0, 1)).clamp(-10, 10)
        stay = torch.sigmoid(logits[..., -1:].float())
        moves = logits[..., :-1].scatter(-1, ids.unsqueeze(-1), -torch.inf)
        probabilities = (1 - stay) * F.softmax(moves.float(), dim=-1)
        return probabilities.scatter(-1, ids.unsqueeze(-1), stay).log()


def original_loss(model: OriginalModel, batch: Batch) -> torch.Tensor:
    """Mean -log p(y_t) of the real steps."""
    log_probs = model(batch)
    return F.nll_loss(log_probs.flatten(0, 1), batch["labels"].flatten(), ignore_index=PADDING)


def original_batches(careers: EncodedCareers, slots: int = 16_000, rows: int | None = None) -> list[Batch]:
    """Rows sorted by length, with a position for the end symbol; a batch has at most so many positions, padding
    counted, and at most so many rows, a multiple of 8 if it is above 8."""
    collate = PaddingCollator()
    order = np.argsort(careers.lengths, kind="stable")
    batches, first = [], 0
    while first < len(order):
        last = first
        while last < len(order) and (last + 1 - first) * (int(careers.lengths[order[last]]) + 1) <= slots:
            last += 1
        last = max(last, first + 1)
        if rows is not None:
            last = min(last, first + rows)
        if last < len(order) and last - first > 8:
            last = first + (last - first) // 8 * 8
        batch = collate(careers.gather(order[first:last]))
        end = {name: F.pad(batch[name], (0, 1), value=0) for name in ("input_ids", "labels")}
        end["labels"] = F.pad(batch["labels"], (0, 1), value=PADDING)
        # The end symbol is a position of the input, and is not scored.
        lengths = torch.from_numpy(careers.lengths[order[first:last]])
        batches.append(
            {
                **end,
                "covariates": F.pad(batch["covariates"], (0, 0, 0, 1)),
                "real": torch.arange(end["input_ids"].shape[1]) <= lengths.unsqueeze(1),
            }
        )
        first = last
    return batches


def original_updates(model: OriginalModel, optimizer: torch.optim.Optimizer, batches: list[Batch]) -> Iterator[float]:
    """Trains on every batch once, in random order, and yields the loss of each."""
    model.train()
    for i in torch.randperm(len(batches)):
        optimizer.zero_grad()
        loss = original_loss(model, batches[int(i)])
        loss.backward()
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def original_scores(model: OriginalModel, careers: EncodedCareers) -> tuple[float, int]:
    """Sum of -log p(y_t), and number of steps, as in the original's evaluation."""
    model.eval()
    nll, steps = 0.0, 0
    for batch in original_batches(careers, slots=1_200, rows=100):
        log_probs = model(batch).gather(-1, batch["labels"].clamp(min=0).unsqueeze(-1)).squeeze(-1)
        scored = batch["labels"] != PADDING
        nll -= float(log_probs[scored].double().sum())
        steps += int(scored.sum())
    return nll, steps
