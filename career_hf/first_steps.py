"""The main job in one function: careers that ship with the package in, a trained and scored CAREER checkpoint out.

1,384 young men in five states (Keane and Wolpin, 1997). CAREER is trained on 70% of them and scored, on people it
never saw, against Markov chains of first and second order; then it forecasts three people's next years.
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
from .rivals.markov import MarkovForOccupationPrediction
from .sources import keane_wolpin_careers as keane_wolpin
from .training.fitting import fit_model
from .training.trainer import scratch_recipe


# Chosen on validation careers. Batches are smaller than the paper's 16,000 steps, which these careers fill only twice.
LEARNING_RATE, WARMUP_STEPS, TOKENS_PER_BATCH, MAX_STEPS = 2e-3, 100, 2_000, 400
FORECAST_PEOPLE, FORECAST_YEARS = 3, 5


@dataclass(frozen=True)
class Quickstart:
    """What the quickstart made.

    Args:
        description: `describe` of all careers.
        summary: One row per model: perplexity on test careers with a person-clustered 95% interval, and more.
        tables: Transition tables by model.
        histories: The forecast people's careers up to the forecast.
        forecasts: Their next years, one row per person, year and state.
        checkpoint: Folder of the trained model and its processor.
    """

    description: pd.Series
    summary: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    histories: Dataset
    forecasts: pd.DataFrame
    checkpoint: Path

    def people(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """The forecast people one by one: who it is, the last five years in words, and the forecast by year."""
        for history in self.histories:
            years = self.forecasts[self.forecasts["person"] == history["person"]]
            forecast = years.pivot(index="year", columns="occupation", values="probability")
            last = zip(history["year"][-5:], history["occupation"][-5:], strict=True)
            yield history["person"], ", ".join(f"{year}: {occupation}" for year, occupation in last), forecast


def quickstart(output: str | Path, max_steps: int = MAX_STEPS, seed: int = 0) -> Quickstart:
    """Trains CAREER on the Keane-Wolpin careers, scores it against both Markov chains, and forecasts three people.

    Args:
        output: Folder for the checkpoint.
        max_steps: Updates at most; training stops earlier when validation careers stop getting likelier.
        seed: Of the model's initial weights, the order of careers and the forecasts' draws.
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
        learning_rate=LEARNING_RATE,
        warmup_steps=WARMUP_STEPS,
        tokens_per_batch=TOKENS_PER_BATCH,
        max_steps=max_steps,
        eval_steps=50,
        save_steps=50,
        seed=seed,
    )
    source = SOURCES["keane-wolpin"].record | years_of(train)
    fitted = fit_model(CareerForOccupationPrediction, processor, recipe, train, validation, source=source)
    # The processor has recorded what the model was trained on, which forecasts need.
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

    # Men with years to come that the model has seen others live through.
    ahead = [i for i, ages in enumerate(test["year"]) if 25 <= ages[-1] <= 50 - FORECAST_YEARS]
    histories = test.select(ahead[:FORECAST_PEOPLE])
    forecasts = forecast(model, histories, processor, horizon=FORECAST_YEARS, seed=seed).to_frame()
    return Quickstart(describe(careers), summarize(tables), tables, histories, forecasts, checkpoint)


@contextmanager
def _one_thread() -> Iterator[None]:
    """A second thread gains a model this small little, and costs it much when another program wants the core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


__all__ = ["Quickstart", "quickstart"]
