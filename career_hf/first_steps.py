"""`quickstart`: trains, scores and forecasts with the careers that are in the package.

The careers are those of 1,384 young men in five states (Keane and Wolpin, 1997). CAREER is trained on 70% of them and
scored on others, beside Markov chains of first and second order; then it forecasts the next years of three people.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset

from .careers.describing import describe
from .careers.provenance import SOURCES, years_of
from .careers.splits import split_careers
from .encoding.processing_career import CareerProcessor
from .evaluation.metrics import summarize
from .evaluation.transition_table import transition_table
from .forecasting.forecast import forecast
from .models.modeling_career import CareerForOccupationPrediction
from .number_ranges import within_ranges
from .rivals.markov import MarkovForOccupationPrediction
from .sources import keane_wolpin_careers as keane_wolpin
from .training.fitting import fit_model
from .training.trainer import scratch_recipe


# Chosen on validation careers among what takes twenty CPU seconds: half of the paper's layers and dimensions, and a
# rate that falls to zero. Batches are smaller than the paper's 16,000 steps, which these careers fill only twice.
SIZES = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 128}
LEARNING_RATE, TOKENS_PER_BATCH, MAX_STEPS = 8e-3, 4_000, 200
FORECAST_PEOPLE, FORECAST_YEARS = 3, 5


@dataclass(frozen=True)
class Quickstart:
    """What `quickstart` returns.

    Args:
        description: What `describe` returns for all careers.
        summary: One row per model: perplexity on test careers with a person-clustered 95% interval, and more.
        tables: Transition tables by model.
        histories: Observed careers of the people whose years are forecast.
        forecasts: Forecasts of their next years, one row per person, year and state.
        checkpoint: Folder of the trained model and its processor.
    """

    description: pd.Series
    summary: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    histories: Dataset
    forecasts: pd.DataFrame
    checkpoint: Path

    def people(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """For each forecast the person, the last five observed years in words, and probabilities by year."""
        for history in self.histories:
            years = self.forecasts[self.forecasts["person"] == history["person"]]
            forecast = years.pivot(index="year", columns="occupation", values="probability")
            last = zip(history["year"][-5:], history["occupation"][-5:], strict=True)
            yield history["person"], ", ".join(f"{year}: {occupation}" for year, occupation in last), forecast


@within_ranges
def quickstart(output: str | Path, max_steps: int = MAX_STEPS, seed: int = 0) -> Quickstart:
    """Trains CAREER on the Keane-Wolpin careers, scores it against both Markov chains, and forecasts three people.

    Args:
        output: Destination folder of the checkpoint.
        max_steps: Number of updates; a longer training stops earlier if validation careers stop getting likelier.
        seed: Random seed of the initial weights, the order of careers and the forecasts.
    """
    with _one_thread():
        return _quickstart(Path(output), max_steps, seed)


def _quickstart(output: Path, max_steps: int, seed: int) -> Quickstart:
    careers, _ = keane_wolpin.load()
    splits = split_careers(careers)
    train, validation, test = splits["train"], splits["validation"], splits["test"]

    processor = CareerProcessor.fit(train, covariates=("year", "schooling"))
    recipe = scratch_recipe(
        processor,
        output / "training",
        config_overrides=SIZES,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="linear",
        warmup_steps=0.1,
        tokens_per_batch=TOKENS_PER_BATCH,
        max_steps=max_steps,
        eval_steps=50,
        save_steps=50,
        seed=seed,
    )
    source = SOURCES["keane-wolpin"].record | years_of(train)
    fitted = fit_model(
        CareerForOccupationPrediction, processor, recipe, train, validation, source=source, overwrite=True
    )
    # This processor has recorded the training careers, which forecasts need.
    model, processor = fitted.model, fitted.processor
    checkpoint = output / "career"
    fitted.save(checkpoint)

    without_covariates = CareerProcessor.fit(train, covariates=())
    encoded, _ = without_covariates.encode(train)
    tables = {}
    for name, order in {"Markov chain, first order": 1, "Markov chain, second order": 2}.items():
        chain = MarkovForOccupationPrediction.fit(encoded, without_covariates, order=order)
        tables[name] = transition_table(chain, test, without_covariates, split="test")
    tables["CAREER"] = transition_table(model, test, processor, split="test", unknown_levels="missing")

    # People whose next years are among the ages in training.
    ahead = [i for i, ages in enumerate(test["year"]) if 25 <= ages[-1] <= 50 - FORECAST_YEARS]
    histories = test.select(ahead[:FORECAST_PEOPLE])
    forecasts = forecast(model, histories, processor, horizon=FORECAST_YEARS, seed=seed).to_frame()
    return Quickstart(describe(careers), summarize(tables), tables, histories, forecasts, checkpoint)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch: a second one helps so small a model little, and hurts it if another program runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


__all__ = ["Quickstart", "quickstart"]
