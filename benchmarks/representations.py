"""How long representations take: h_t that includes y_t, beside a model called once for every year of every career.

    python benchmarks/representations.py [--people 500]

CAREER has random weights, which take as long as trained ones, and one thread. "One prefix at a time" is the
definition: for every person-year the career up to it, with y_t appended. "Prefixes in batches" is the same with
prefixes of one length together. Then the nearest careers of a few among many, beside a matrix of all pairs.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.encoding.collating import EncodedCareers
from career_hf.representing.representations import representations
from career_hf.representing.similar_careers import nearest
from career_hf.simulation import preset
from career_hf.simulation.world import COVARIATES


SIZES = {
    "small": {},
    "large": {"num_hidden_layers": 12, "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768},
}
FEW = np.arange(50)  # people whose prefixes are computed one by one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--candidates", type=int, default=300_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    careers = preset("survey").simulate(arguments.people).careers
    processor = CareerProcessor.fit(careers, COVARIATES)
    encoded = EncodedCareers(processor.encode(careers)[0])
    for name, size in SIZES.items():
        model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **size)).eval()
        steps = int(encoded.lengths.sum())
        including, values = timed(lambda m=model: representations(m, careers, processor, timing="including"))
        before, _ = timed(lambda m=model: representations(m, careers, processor))
        alone, one_by_one = timed(lambda m=model: np.concatenate(prefixes(m, encoded, FEW, batch=1)))
        batched, in_batches = timed(lambda m=model: np.concatenate(prefixes(m, encoded, FEW, batch=1_000)))
        few = int(encoded.lengths[FEW].sum())
        assert max(np.abs(rows - values[:few]).max() for rows in (one_by_one, in_batches)) < 1e-4
        print(
            f"{name}: {steps / including:,.0f} person-years a second including y_t, {steps / before:,.0f} before it; "
            f"{alone / few / (including / steps):.1f} times as fast as one prefix at a time, "
            f"{batched / few / (including / steps):.1f} times as fast as prefixes in batches"
        )

    values = np.random.default_rng(0).normal(size=(arguments.candidates, 64)).astype(np.float32)
    few_rows = np.arange(300)
    search, _ = timed(lambda: nearest(values, few_rows, 10))
    part = values[:5_000]
    matrix, _ = timed(lambda: np.argpartition(-(part @ part.T), 10, axis=1))
    blocks, _ = timed(lambda: nearest(part, np.arange(len(part)), 10))
    print(
        f"nearest: {search:.1f} s for 300 people among {arguments.candidates:,}; all of 5,000: {matrix / blocks:.1f} "
        "times as fast as a matrix of all pairs"
    )


def prefixes(model: CareerForOccupationPrediction, encoded: EncodedCareers, people: np.ndarray, batch: int) -> list:
    """h of each prefix of each career with its last occupation appended, in the order of the careers."""
    rows = []
    for person in people:
        career = encoded[person]
        for t, label in enumerate(career["labels"]):
            rows.append((np.r_[career["input_ids"][: t + 1], label], career["covariates"][np.r_[: t + 1, t]]))
    lengths = np.array([len(ids) for ids, _ in rows])
    hidden: list = [None] * len(rows)
    with torch.inference_mode():
        for length in np.unique(lengths):
            members = np.flatnonzero(lengths == length)
            for some in np.array_split(members, -(-len(members) // batch)):
                ids = torch.from_numpy(np.stack([rows[i][0] for i in some])).long()
                covariates = torch.from_numpy(np.stack([rows[i][1] for i in some])).long()
                h = model.model(input_ids=ids, covariates=covariates).last_hidden_state[:, -1]
                for i, row in zip(some, h.numpy(), strict=True):
                    hidden[i] = row[None]
    return hidden


def timed(work):
    """CPU seconds, the least of three, and what the work returns."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


if __name__ == "__main__":
    main()
