"""Lets a causal language model of Transformers predict every occupation of careers, for `career-hf evaluate`.

    python examples/score_language_model.py openai-community/gpt2 --data careers/mine --output gpt2.parquet
    career-hf evaluate career=runs/mine gpt2=gpt2.parquet --data careers/mine

A career is a text (`career_hf.to_text`). The model reads it up to an occupation and gives every title of the label set
a probability, that of its tokens and of the end of the line, one token after the other; these are divided by their
sum over the titles, as in LABOR-LLM (Athey, Brunborg, Du, Kanodia and Vafa, 2024). Each token of a career is read
once: what the model remembers of the past (its cache) is copied for the titles of a step.

A model that has never seen such texts predicts badly. Fine-tune it on the texts of the training careers first, with a
stock `Trainer`: docs/how_to/benchmark.md does so.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

import career_hf
from career_hf.careers import as_splits
from career_hf.careers.texts import check_distinct


def score(
    model: Any,
    tokenizer: Any,
    careers: Dataset,
    titles: Mapping[str, str],
    template: str | None = None,
    titles_per_batch: int = 128,
) -> pd.DataFrame:
    """Probabilities of all labels at every step of every career, by a causal language model.

    Args:
        model: A causal language model with a cache.
        tokenizer: Its tokenizer.
        careers: Careers, one row per person.
        titles: Title of every label of the label set (`career_hf.benchmark(...).labels`).
        template: As in `career_hf.to_text`.
        titles_per_batch: Number of titles that are read at once.

    Returns:
        One row per person and year: person, year, log_prob and p(LABEL) for every label.

    Raises:
        ValueError: Two labels have one title, a career is too long for the model, or the tokenizer joins the letters
            of a title with those before it.
    """
    check_distinct(titles)
    labels, texts = list(titles), career_hf.to_text(careers, template, titles)
    longest = getattr(model.config, "max_position_embeddings", None)
    before, lead = _end_of_prompt(texts[0])
    tokens = [_continuation(tokenizer, before, f"{lead}{title}\n") for title in titles.values()]
    model.eval()
    rows = []
    for text, years, occupations in zip(texts, careers["year"], careers["occupation"], strict=True):
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        cache, read = None, 0
        for step, (year, occupation) in enumerate(zip(years, occupations, strict=True)):
            # What the model has not read yet: the line's beginning, after the whole line before it.
            if step == 0:
                new = start + _encode(tokenizer, text["text"][: text["start"][0]].rstrip())
            else:
                line = text["text"][text["end"][step - 1] + 1 : text["start"][step]].rstrip()
                new = tokens[labels.index(occupations[step - 1])] + _continuation(tokenizer, "\n", line)
            read += len(new)
            if longest is not None and read + max(map(len, tokens)) > longest:
                raise ValueError(
                    f"person '{text['person']}', {year}: the text has more than the {longest} tokens that the model "
                    "reads; write shorter lines with template="
                )
            with torch.inference_mode():
                output = model(torch.tensor([new], device=model.device), past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            log_probs = titles_log_probs(model, cache, output.logits[0, -1], tokens, titles_per_batch)
            log_probs = log_probs.log_softmax(dim=0).cpu()
            truth = {"person": text["person"], "year": year, "log_prob": float(log_probs[labels.index(occupation)])}
            rows.append(truth | {f"p({n})": p for n, p in zip(labels, log_probs.exp().tolist(), strict=True)})
    return pd.DataFrame(rows)


@torch.inference_mode()
def titles_log_probs(
    model: Any, cache: Any, logits: torch.Tensor, tokens: Sequence[Sequence[int]], titles_per_batch: int
) -> torch.Tensor:
    """`(titles,)` float64: log-probabilities of the tokens of every title, summed, after what the model has read.

    Args:
        model: A causal language model.
        cache: What it remembers of what it has read; it stays as it is.
        logits: `(vocabulary,)`: its logits of the next token.
        tokens: Tokens of every title.
        titles_per_batch: Number of titles that are read at once.
    """
    found = logits.double().log_softmax(dim=-1)[[title[0] for title in tokens]]
    for first in range(0, len(tokens), titles_per_batch):
        batch = tokens[first : first + titles_per_batch]
        length = max(map(len, batch)) - 1
        if length == 0:
            continue
        # Padding comes last, where no token before it sees it, and its probabilities do not count.
        padded = torch.tensor([[*title, *[title[-1]] * (length + 1 - len(title))] for title in batch]).to(model.device)
        counts = torch.arange(length) < torch.tensor([len(title) - 1 for title in batch])[:, None]
        remembered = copy.deepcopy(cache)
        remembered.batch_repeat_interleave(len(batch))
        output = model(padded[:, :-1], past_key_values=remembered, use_cache=True)
        later = output.logits.double().log_softmax(dim=-1).gather(-1, padded[:, 1:, None]).squeeze(-1)
        found[first : first + len(batch)] += (later * counts.to(model.device)).sum(dim=1)
    return found


def _end_of_prompt(text: dict[str, Any]) -> tuple[str, str]:
    """The last letter before the first occupation of a text; and the blanks between them, with which titles begin."""
    prompt = text["text"][: text["start"][0]]
    return prompt.rstrip()[-1:], prompt[len(prompt.rstrip()) :]


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _continuation(tokenizer: Any, before: str, text: str) -> list[int]:
    """Tokens of a text that follows another."""
    head, whole = _encode(tokenizer, before), _encode(tokenizer, before + text)
    if whole[: len(head)] != head:
        raise ValueError(f"the tokenizer joins {before!r} with what follows it, {text!r}: end the line otherwise")
    return whole[len(head) :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a causal language model")
    parser.add_argument("--data", required=True, help="folder of careers")
    parser.add_argument("--split", default="test", help="split of the careers to score")
    parser.add_argument("--template", help="text of a career, as in career_hf.to_text; \\n ends a line")
    parser.add_argument("--output", required=True, help="Parquet file to write")
    parser.add_argument("--titles-per-batch", type=int, default=128, help="number of titles that are read at once")
    given = parser.parse_args()
    splits = as_splits(given.data)
    labels = career_hf.benchmark(splits).labels
    model = AutoModelForCausalLM.from_pretrained(given.model, trust_remote_code=False, use_safetensors=True)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(given.model, trust_remote_code=False)
    template = given.template.replace("\\n", "\n") if given.template else None
    titles = dict(zip(labels["label"], labels["title"], strict=True))
    table = score(model, tokenizer, splits[given.split], titles, template, given.titles_per_batch)
    table.to_parquet(given.output, index=False)


if __name__ == "__main__":
    main()
