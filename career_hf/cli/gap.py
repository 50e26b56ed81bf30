"""`career-hf gap`: the adjusted wage gap between two groups, by every estimator."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .console import say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def gap(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model that never saw the group.")],
    data: Annotated[Path, typer.Option(help="Folder of careers with log_wage, as `prepare` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder for tables and figure.")],
    split: Annotated[
        str, typer.Option(help="Whose wages, comma-separated splits; none that the model was trained on.")
    ] = "test",
    protected: Annotated[str, typer.Option(help="Column that tells the groups apart.")] = "gender",
    group: Annotated[str, typer.Option(help="Its label of those whose gap is asked for.")] = "female",
    others: Annotated[str, typer.Option(help="Its label of those they are compared with.")] = "male",
    folds: Annotated[int, typer.Option(help="Of people, in cross-fitting.", min=2)] = 5,
    seeds: Annotated[int, typer.Option(help="Of fine-tuning.", min=1)] = 2,
    updates: Annotated[int, typer.Option(help="Of each fine-tuned network; 0 for frozen models only.", min=0)] = 20,
    learning_rate: Annotated[float, typer.Option(help="Of fine-tuning.")] = 1e-3,
    clip: Annotated[
        float, typer.Option(help="Leave out careers with a propensity outside [clip, 1 - clip].", min=0)
    ] = 0.0,
    bootstrap: Annotated[
        int, typer.Option(help="Resamples of people for intervals; 0 for the influence function's.", min=0)
    ] = 0,
) -> None:
    """Estimate how much less a group earns than others with the same career: raw, Oaxaca-Blinder, AIPW, and more."""
    if find_spec("matplotlib") is None:
        raise typer.BadParameter("the figure is drawn with matplotlib: pip install 'career_hf[studies]'")

    from datasets import concatenate_datasets

    from ..careers.frames import load_careers
    from ..encoding.checkpoints import load_checkpoint
    from ..representing.cross_fitting import check_not_trained_on
    from ..wages.finetuning import METHODS, FineTuning
    from ..wages.gap_estimates import FROZEN, GapGroups, estimate_gaps

    everyone, names = load_careers(data), split.split(",")
    if unknown := set(names) - set(everyone):
        raise typer.BadParameter(f"the careers have splits {list(everyone)}, and none is '{min(unknown)}'")
    careers = concatenate_datasets([everyone[name] for name in names])
    model, processor = load_checkpoint(checkpoint)
    if "train" not in everyone:
        raise typer.BadParameter(f"the careers have splits {list(everyone)}: whom the model saw cannot be checked")
    check_not_trained_on(careers, everyone["train"], processor)
    run = estimate_gaps(
        model,
        processor,
        careers,
        GapGroups(protected, group, others),
        folds=folds,
        methods=METHODS if updates else (),
        settings=FineTuning(updates=updates, rate=learning_rate),
        seeds=seeds,
        clip=clip,
        bootstrap=bootstrap,
    )
    output.mkdir(parents=True, exist_ok=True)
    say(run.ledger)
    gaps, sensitivity = run.result.to_frame(), run.sensitivity.to_frame()
    overlaps = {estimate.adjusted_for: estimate.overlap for estimate in run.result.estimates if estimate.overlap}
    gaps.to_csv(output / "gaps.csv", index=False, float_format="%.5f")
    sensitivity.to_csv(output / "sensitivity.csv", index=False, float_format="%.5f")
    overlaps[FROZEN].histogram.to_csv(output / "propensity.csv", index=False, float_format="%.5f")
    overlaps[FROZEN].balance.to_csv(output / "balance.csv", float_format="%.5f")
    run.result.figure().savefig(output / "gap.png", dpi=110)
    people = f"{gaps['people'].iloc[0]:,} people, {gaps['rows'].iloc[0]:,} person-years"
    columns = ["estimator", "estimate", "low", "high", "ratio", "seed_sd", "r_loss", "clipped", "effective_people"]
    shown = gaps.set_index("adjusted_for")[columns]
    show(shown, f"log wage, {group} minus {others}, 95% intervals clustered by person; {people}")
    say("Intervals of outcome-only estimates take the fitted network for granted.")
    if clip:
        say(f"Adjusted gaps are of {gaps['population'].iloc[-1]}.")
    columns = ["estimator", "estimate", "low", "high", "clipped", "group_clipped", "effective_people", "population"]
    show(sensitivity.set_index("clip")[columns], f"{FROZEN}: careers with extreme propensities left out")
    say(f"{output}/gaps.csv, sensitivity.csv, propensity.csv, balance.csv, gap.png")
