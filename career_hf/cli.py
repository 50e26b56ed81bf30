"""The command `career-hf`: thin wrappers over public functions, with their numbers printed as tables."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from .commands.audit import audit
from .commands.card import card
from .commands.convert import convert
from .commands.evaluate import evaluate
from .commands.export import export
from .commands.forecast import forecast
from .commands.gap import gap
from .commands.prepare import prepare
from .commands.push import push
from .commands.rake import rake
from .commands.rationale import rationale
from .commands.similar import similar
from .commands.title_options import TitleEmbeddings, Untitled, give_titles, load_titles, titles_size, untitled_of
from .commands.transitions import transitions
from .commands.wage_regression import wage_regression
from .commands.what_if import what_if
from .console import Commands, say, show
from .studies.commands import study


# Every other import stands inside its command, so that `career-hf --help` answers at once.

app = typer.Typer(
    cls=Commands,
    help="CAREER, a foundation model for labor sequence data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(prepare, name="prepare")
app.add_typer(study, name="study")

Output = Annotated[Path, typer.Option(help="Folder to write to.")]
Data = Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True, file_okay=False)]
Seed = Annotated[int, typer.Option(help="Seed of initial weights and of the order of careers.")]
WarmupSteps = Annotated[int, typer.Option(help="Updates to the peak.")]
TokensPerBatch = Annotated[int, typer.Option(help="Person-years of one update.")]
MaxSteps = Annotated[int, typer.Option(help="Updates at most; early stopping usually comes first.")]
EvalSteps = Annotated[int, typer.Option(help="Updates between validations.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")]
Patience = Annotated[int, typer.Option(help="Validations without improvement before stopping.")]
Cutoff = Annotated[int | None, typer.Option(help="Train on years up to it alone, to forecast later ones.")]
JobDropout = Annotated[
    float, typer.Option(help="Of CAREER: share of careers in which earlier years are hidden; for rationales, .5.")
]


class Model(StrEnum):
    career = "career"
    markov_1 = "markov-1"
    markov_2 = "markov-2"
    mixture = "mixture"
    regression = "regression"
    bag_of_jobs = "bag-of-jobs"
    nemo = "nemo"
    job_representation = "job-representation"
    job2vec = "job2vec"


@app.command()
def quickstart(
    output: Output = Path("runs/quickstart"),
    max_steps: Annotated[int, typer.Option(help="Updates at most.")] = 400,
    seed: Seed = 0,
) -> None:
    """Train CAREER on careers that ship with the package, score it against Markov chains, forecast three people."""
    import torch

    from .quickstart import quickstart as run

    # A second thread gains a model this small little, and costs it much when another program wants the core.
    torch.set_num_threads(1)
    result = run(output, max_steps=max_steps, seed=seed)
    show(result.description.to_frame("careers"), "Keane-Wolpin careers (the column year is the year of age)")
    show(result.summary.T, "Test careers: perplexity, lower is better; 95% intervals by resampling people")
    for history in result.histories:
        years = result.forecasts[result.forecasts["person"] == history["person"]]
        wide = years.pivot(index="year", columns="occupation", values="probability")
        last = ", ".join(f"{y}: {o}" for y, o in zip(history["year"][-5:], history["occupation"][-5:], strict=True))
        show(wide, f"Person {history['person']}, after {last}")
    say(f"checkpoint: {result.checkpoint}")


@app.command()
def describe(
    folders: Annotated[list[Path], typer.Argument(help="Careers, as `prepare` writes them.", exists=True)],
    plot: Annotated[bool, typer.Option("--plot", help="Draw into FOLDER/figures.")] = False,
) -> None:
    """Count what careers hold, as the paper's Tables 6 and 7 do; draw sequences, states, lengths and transitions."""
    from importlib.util import find_spec

    import pandas as pd
    from datasets import concatenate_datasets

    from .careers import load_careers
    from .describing import describe

    if plot and find_spec("matplotlib") is None:
        raise typer.BadParameter("figures are drawn with matplotlib: pip install 'career_hf[studies]'")
    columns = {}
    for folder in folders:
        careers = concatenate_datasets(list(load_careers(folder).values()))
        columns[str(folder) if folder.name in columns else folder.name] = describe(careers)
        if plot:
            from .description_figures import description_figures

            for path in description_figures(folder / "figures", careers):
                say(f"drew {path}")
    show(pd.concat(columns, axis=1), "Careers")


@app.command()
def simulate(
    output: Output,
    preset: Annotated[
        str,
        typer.Option(
            help="A survey: tiny, kw, survey, or a control: markov, one_type, no_returns, gender_free. Or resumes: "
            "resume, scaling."
        ),
    ] = "survey",
    departure: Annotated[float, typer.Option(help="Of resumes: 0 the survey's labor market, 1 another one.")] = 0.0,
    people: Annotated[int | None, typer.Option(help="Sample size; the preset's if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the people; the world has a seed of its own.")] = 0,
) -> None:
    """Draw careers from a labor market whose true probabilities are known; save them and the truth."""
    from . import simulation as market
    from .describing import describe
    from .evaluation import summarize

    if preset in market.RESUMES:
        world = market.World.build(market.preset("survey").with_world(departure=departure).world)
        resumes = replace(market.RESUMES[preset], people=people or market.RESUMES[preset].people)
        ledger = market.write_resumes(world, resumes, output, seed=seed)
        say(ledger)
        market.write_resume_card(output, ledger)
        show(describe(market.load_resumes(output)).to_frame("resumes"), str(output))
        return
    drawn = market.preset(preset).simulate(people, seed)
    market.save_simulation(drawn, output)
    tables, truth = market.floors(drawn), market.TrueOccupationModel.of_world(drawn.world)
    entropy = market.expectations(truth, drawn.careers, market.world_processor(drawn.world))
    show(drawn.describe().to_frame("careers"), str(output))
    show(summarize(tables).T, "The truth: perplexity knowing the type, the past (the floor), and neither")
    show(market.oracle_summary(tables, entropy).to_frame("oracles"), "z is standard normal if the truth is true")


@app.command()
def train(
    data: Data,
    output: Output,
    model: Annotated[Model, typer.Option(help="What to train.")] = Model.career,
    covariates: Annotated[
        str, typer.Option(help="Comma-separated: year, and columns of the careers. Markov chains have none.")
    ] = "year",
    cutoff: Cutoff = None,
    one_stage: Annotated[bool, typer.Option("--one-stage", help="One softmax instead of two stages.")] = False,
    learning_rate: Annotated[float, typer.Option(help="Peak; the paper's is 5e-4 for CAREER.")] = 5e-4,
    warmup_steps: WarmupSteps = 500,
    tokens_per_batch: TokensPerBatch = 16_000,
    max_steps: MaxSteps = 20_000,
    eval_steps: EvalSteps = 100,
    patience: Patience = 10,
    dropout: Annotated[float, typer.Option(help="Of CAREER's feedforward network and attention.")] = 0.1,
    job_dropout: JobDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    tune_smoothing: Annotated[
        bool, typer.Option(help="Markov: choose weights on validation careers; a mixture always does.")
    ] = False,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Train a model from scratch on careers: CAREER or one of its rivals, in two stages or one."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from .baselines.markov import MarkovForOccupationPrediction, tune_weight
    from .baselines.mixture import tune_mixture
    from .dataset_card import training_source
    from .processing_career import CareerProcessor
    from .training import baseline_recipe, scratch_recipe
    from .training_record import counted_run

    if job_dropout and model is not Model.career:
        raise typer.BadParameter("--job-dropout is for CAREER, because rivals cannot hide a year from the others")
    if title_embeddings and model is not Model.career:
        raise typer.BadParameter("--title-embeddings is for CAREER, because rivals have no place for titles")
    titles = load_titles(title_embeddings)
    splits = _load(data, cutoff)
    is_counted = model in (Model.markov_1, Model.markov_2, Model.mixture)
    processor = CareerProcessor.fit(
        splits["train"], covariates=[] if is_counted else covariates.split(","), unknown_occupation="unknown"
    )
    encoded, validation = _encode(processor, splits)
    source = training_source(data, splits["train"])
    if is_counted:
        started = perf_counter()
        order = 2 if model is Model.markov_2 else 1
        weighted = "weight" in encoded.column_names  # as in the loss of models that are trained
        if model is Model.mixture:
            chain: Any = tune_mixture(encoded, validation, processor, weighted=weighted, seed=seed)
        elif tune_smoothing:
            chain = tune_weight(encoded, validation, processor, order=order, weighted=weighted)
        else:
            chain = MarkovForOccupationPrediction.fit(encoded, processor, order=order, weighted=weighted)
        processor.record_training(encoded, "training", source)
        processor.training_stages[-1]["run"] = counted_run(
            perf_counter() - started, {"model": model.value, "tuned": tune_smoothing or model is Model.mixture}
        )
        _save_model(chain, processor, output)
        return
    settings: dict[str, Any] = {
        "job_dropout": job_dropout,
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "tokens_per_batch": tokens_per_batch,
        "max_steps": max_steps,
        "eval_steps": eval_steps,
        "save_steps": eval_steps,
        "patience": patience,
        "seed": seed,
        **_stopped_by(encoded),
    }
    if model is Model.career:
        fields: dict[str, Any] = {"two_stage": not one_stage, "hidden_dropout": dropout, "attention_dropout": dropout}
        fields |= {"title_embedding_size": titles_size(titles)}
        recipe = scratch_recipe(processor, output / "training", config_overrides=fields, **settings)
    else:
        of_rival: Any = type(AutoConfig.for_model(f"career_{model.value.replace('-', '_')}"))
        config = of_rival.from_processor(processor, two_stage=not one_stage)
        recipe = baseline_recipe(config, output / "training", **settings)

    def make_model() -> Any:
        made = AutoModelForCausalLM.from_config(recipe.config)
        if titles:
            give_titles(made, processor, titles, untitled)
        return made

    _fit(make_model, processor, recipe, encoded, validation, source, output, resume)


@app.command()
def finetune(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a pretrained CAREER model.")],
    data: Data,
    output: Output,
    covariates: Annotated[str, typer.Option(help="Comma-separated; those pretraining did not have are added.")] = "",
    cutoff: Cutoff = None,
    learning_rate: Annotated[float, typer.Option(help="Peak; the paper's is 1e-4.")] = 1e-4,
    warmup_steps: WarmupSteps = 500,
    tokens_per_batch: TokensPerBatch = 16_000,
    max_steps: MaxSteps = 20_000,
    eval_steps: EvalSteps = 100,
    patience: Patience = 10,
    job_dropout: JobDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Fine-tune a pretrained CAREER model on careers; occupations, levels and covariates are matched by name."""
    from .checkpoints import load_processor
    from .dataset_card import training_source
    from .modeling_career import CareerForOccupationPrediction
    from .training import finetuning_recipe

    titles = load_titles(title_embeddings)
    splits = _load(data, cutoff)
    pretrained = load_processor(checkpoint)
    new = [name for name in covariates.split(",") if name and name not in pretrained.covariate_names]
    processor = pretrained.extend(splits["train"], covariates=new, unknown_occupation="unknown")
    encoded, validation = _encode(processor, splits)
    recipe = finetuning_recipe(
        processor,
        output / "training",
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        tokens_per_batch=tokens_per_batch,
        max_steps=max_steps,
        eval_steps=eval_steps,
        save_steps=eval_steps,
        patience=patience,
        job_dropout=job_dropout,
        seed=seed,
        **_stopped_by(encoded),
    )

    def load() -> CareerForOccupationPrediction:
        model = CareerForOccupationPrediction.from_pretrained(checkpoint)
        if titles and model.config.title_embedding_size is None:
            model = CareerForOccupationPrediction.from_pretrained(checkpoint, title_embedding_size=titles_size(titles))
            give_titles(model, pretrained, titles, untitled)
        say(model.resize_vocabulary(pretrained, processor, titles, untitled_of(processor, titles, untitled)))
        return model

    source = training_source(data, splits["train"])
    _fit(load, processor, recipe, encoded, validation, source, output, resume)


def _load(data: Path, cutoff: int | None) -> Any:
    from .careers import load_careers, truncate

    splits = load_careers(data)
    return splits if cutoff is None else {name: truncate(careers, cutoff)[0] for name, careers in splits.items()}


def _encode(processor: Any, splits: Any) -> tuple[Any, Any]:
    encoded, _ = processor.encode(splits["train"])
    validation, ledger = processor.encode(splits["validation"], unknown_levels="missing")
    say(ledger)
    return encoded, validation


def _stopped_by(encoded: Any) -> dict[str, str]:
    """What training is stopped by: with survey weights the weighted likelihood, since that is what it maximises."""
    return {"metric_for_best_model": "weighted_nll"} if "weight" in encoded.column_names else {}


def _fit(
    make_model: Any,
    processor: Any,
    recipe: Any,
    encoded: Any,
    validation: Any,
    source: Any,
    output: Path,
    resume: bool,
) -> None:
    from transformers import set_seed

    from .training import build_trainer

    set_seed(recipe.arguments.seed)
    trainer = build_trainer(make_model(), processor, recipe, encoded, validation, source=source)
    trainer.train(resume_from_checkpoint=resume)
    say(f"validation: {trainer.evaluate()}")
    _save_model(trainer.model, trainer.processing_class, output)


def _save_model(model: Any, processor: Any, output: Path) -> None:
    from .card_results import RESULTS
    from .cards import write_model_card

    model.save_pretrained(output)
    processor.save_pretrained(output)
    (output / RESULTS).unlink(missing_ok=True)  # of a model that was here before
    write_model_card(output)
    say(f"saved {output} with a model card, which `career-hf card {output} --data CAREERS` completes")


app.command()(convert)
app.command()(evaluate)
app.command()(export)
app.command()(rationale)
app.command()(similar)
app.command()(forecast)
app.command("what-if")(what_if)
app.command()(transitions)
app.command()(rake)
app.command()(audit)
app.command()(card)
app.command()(push)
app.command()(wage_regression)
app.command()(gap)


if __name__ == "__main__":
    app()
