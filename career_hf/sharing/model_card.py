"""Model cards: what a checkpoint is, its training data, its evaluation, and the permitted uses.

A card is the README.md of a checkpoint, written from the checkpoint itself: its config and weights, the training
history in its processor (sources, recipes, time), its evaluation results, and code that is executed when the card is
written. The card calls facts that are not recorded unknown. The metadata hold the results as a `model-index` for the
Hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import PreTrainedModel

from ..careers.dataset_card import CARD, as_cell
from ..careers.periods import period_label
from ..careers.provenance import SOURCES, UNKNOWN_SOURCE
from ..encoding.checkpoints import load_checkpoint
from ..encoding.processing_career import CareerProcessor
from ..encoding.vocabulary import year_of
from ..evaluation.audit import EVERYBODY
from ..evaluation.resampling import interval_text
from ..models.shipped import shipped
from ..number_ranges import within_ranges
from ..occupations.crosswalks import codes as occ1990dd
from ..occupations.crosswalks import titles
from ..occupations.labels import NOT_WORKING
from ..version import __version__
from .card_results import evaluate_checkpoint, read_results
from .card_snippet import snippet


TEMPLATE = Path(__file__).with_name("model_card_template.md")
# For each metric its name on the card, and the number of digits.
METRICS = {
    "perplexity": ("Perplexity of the year's occupation", 2),
    "accuracy": ("Accuracy (likeliest occupation)", 3),
    "accuracy_top5": ("Accuracy (among the five likeliest)", 3),
    "stay_gap": ("Predicted less observed share of stays", 3),
    "stay_error": ("Calibration error of staying", 3),
    "top_gap": ("Predicted less observed accuracy", 3),
    "top_error": ("Calibration error of the likeliest occupation", 3),
    "wage_r2": ("R^2 of log wages at work", 3),
    "wage_rmse": ("Root mean squared error of log wages at work", 3),
    "wage_gap": ("Predicted less observed log wage at work", 3),
}
# What is resampled for intervals, in the plural.
UNITS = {"person": "people", "household": "households", "PSU": "PSUs"}
GROUP_METRICS = [metric for metric in METRICS if metric != "wage_r2"]
# Assumed power, as energy is not measured: round numbers for a CPU thread with its share of memory, and for a GPU.
WATTS = {"cpu": 10, "gpu": 400}
MOST_LISTED = 12
# What may be done with careers, from the laxest to the strictest.
STRICTNESS = ("allowed", "allowed with attribution", "from the agency", "unknown", "forbidden")


@within_ranges
def write_model_card(
    folder: str | Path,
    data: str | Path | None = None,
    *,
    split: str = "test",
    by: Sequence[str] = (),
    draws: int = 1000,
    name: str | None = None,
    note: str | None = None,
) -> ModelCard:
    """Writes README.md into the folder of a checkpoint; with careers, `evaluation_results.json` first.

    Args:
        folder: Folder of any model of this package and its processor.
        data: Folder of careers to evaluate the model on. If None, the card has the results that are in the folder, or
            none.
        split: Name of the split to evaluate on.
        by: Columns to audit by; several are combined.
        draws: Number of resamples of people behind the intervals.
        name: Heading of the card; the folder's name if None.
        note: What readers of the card should know first, such as that training was short.

    Raises:
        ValueError: Model and processor disagree, there is no such split or column, one is named without data, the
            results in the folder are about other weights, or the folder is the name of a checkpoint that ships with
            the package, whose card is not written anew.
    """
    if data is None and (len(by) or split != "test"):
        raise ValueError(f"by={by!r} and split={split!r} say which careers to evaluate on: give data too, or neither")
    if (place := shipped(folder)) is not folder:
        raise ValueError(
            f"'{folder}' ships with its card, {Path(place) / CARD}, and that is not written anew: save what "
            f"career_hf.load_checkpoint('{folder}') returns to a folder of your own, and write the card there"
        )
    folder = Path(folder)
    model, processor = load_checkpoint(folder)
    processor.check(model.config)
    if data is None:
        results = read_results(folder)
    else:
        results = evaluate_checkpoint(folder, model, processor, data, split=split, by=by, draws=draws)
    code, printed = snippet(folder, model, processor)
    stages = [_stage_for_template(stage, processor.time_unit) for stage in processor.training_stages]
    group_metrics, groups = _groups(results)
    name = name or folder.resolve().name
    card = ModelCard.from_template(
        _metadata(name, model, stages, results),
        template_path=str(TEMPLATE),
        name=name,
        note=note,
        **_model_facts(model, processor),
        stages=stages,
        reach=_reach(processor),
        optional=processor.optional_covariates,
        sources=_sources(stages),
        results=results,
        units=UNITS[(results or {}).get("clusters", "person")],
        metrics=_rows_of(results, EVERYBODY),
        groups=groups,
        group_metrics=[METRICS[metric][0] for metric in group_metrics],
        energy=_energy(stages),
        watts=WATTS,
        code=code,
        printed=printed.strip("\n"),
    )
    card.save(folder / CARD)
    return card


def corpora_of(stage: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of the sources of a training stage: of every corpus of a mixture, or of its one source."""
    record = {**UNKNOWN_SOURCE, **(stage.get("source") or {})}
    return [dict(corpus) for corpus in record.get("corpora") or [record]]


def terms_of(stage: Mapping[str, Any]) -> dict[str, str]:
    """Source, licence and redistribution of a training stage: its record, or what is known of its source if stricter.

    A record can be edited. Where nothing is known of a source, such as one's own spells, the record holds.
    """
    record = {**UNKNOWN_SOURCE, **(stage.get("source") or {})}
    listed = SOURCES.get(record["source"])
    is_known = listed is not None and listed.redistribution != "unknown"
    return max(record, listed.record, key=_strictness) if listed is not None and is_known else record


def _strictness(record: Mapping[str, str]) -> int:
    """The place of a record's terms, from the laxest to the strictest; other terms are unknown ones."""
    terms = record["redistribution"]
    return STRICTNESS.index(terms if terms in STRICTNESS else "unknown")


def redistribution_of(stages: Sequence[Mapping[str, Any]]) -> str:
    """The strictest terms of redistribution among the sources of all stages; "unknown" if there is no stage."""
    records = [terms_of({"source": corpus}) for stage in stages for corpus in corpora_of(stage)]
    return STRICTNESS[max(map(_strictness, records), default=STRICTNESS.index("unknown"))]


def _metadata(
    name: str, model: PreTrainedModel, stages: Sequence[Mapping[str, Any]], results: Mapping[str, Any] | None
) -> ModelCardData:
    licences = {corpus["license"] for stage in stages for corpus in corpora_of(stage)}
    # If all sources have one licence that the Hub knows, it is the model's; the card explains all other terms.
    licence = licences.pop() if len(licences) == 1 else "other"
    is_known = licence in {"mit", "cc-by-4.0", "unknown"}
    return ModelCardData(
        license=licence if is_known else "other",
        license_name=None if is_known else "terms-of-the-training-data",
        library_name="career_hf",
        model_name=name,
        tags=["career", "occupation", "labor-economics", "panel-data", model.config.model_type.replace("_", "-")],
        eval_results=_eval_results(results) if results else None,
        career_hf={
            "sources": [stage["source"]["source"] for stage in stages],
            "redistribution": redistribution_of(stages),
        },
    )


def _eval_results(results: Mapping[str, Any]) -> list[EvalResult]:
    """Metrics for everybody, with their intervals."""
    return [
        EvalResult(
            task_type="career-occupation-prediction",
            task_name="Occupation of the next year given the career",
            dataset_type=results["data"]["source"],
            dataset_name=results["title"],
            dataset_split=results["split"],
            metric_type=row["metric"],
            metric_name=METRICS[row["metric"]][0],
            metric_value=row["estimate"],
            metric_args={"low": row["low"], "high": row["high"], "level": 0.95, "people": row["people"]},
        )
        for row in results["metrics"]
        if row["group"] == EVERYBODY
    ]


def _stage_for_template(stage: Mapping[str, Any], unit: str) -> dict[str, Any]:
    """A stage for the template; facts that older folders did not record are unknown or None."""
    source = stage.get("source", UNKNOWN_SOURCE)
    listed = SOURCES.get(source["source"])
    run = stage.get("run")
    ends = [period_label(source[end], unit) for end in ("first_year", "last_year") if "first_year" in source]
    years = ("-" if unit == "year" else " to ").join(ends) or "unknown"
    return {
        "name": stage["stage"],
        "source": source,
        "title": listed.title if listed else source["source"],
        "people": _count(stage.get("people")),
        "person_years": _count(stage.get("person_years", sum(stage["occupation_counts"]))),
        "years": years,
        "run": run,
        "settings": ", ".join(f"{key} {value}" for key, value in run["settings"].items()) if run else "unknown",
        "corpora": [
            {
                "title": SOURCES[corpus["source"]].title if corpus["source"] in SOURCES else corpus["source"],
                "share": f"{corpus['share']:.0%}",
                "careers": _count(corpus["careers"]),
                "people": _count(corpus["people"]),
                "person_years": _count(corpus["person_years"]),
                "lacks": ", ".join([*corpus["lacks"], *([] if corpus["stays"] else ["people who stay"])]) or "nothing",
            }
            for corpus in source.get("corpora", [])
        ],
    }


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _sources(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every source once, with its entry in `SOURCES` if it has one."""
    corpora = [corpus for stage in stages for corpus in corpora_of(stage)]
    records = {(corpus["source"], corpus["redistribution"]): corpus for corpus in corpora}
    return [{**record, "known": SOURCES.get(name)} for (name, _), record in records.items()]


def _model_facts(model: PreTrainedModel, processor: CareerProcessor) -> dict[str, Any]:
    """Facts about the model, its occupations and its covariates for the template."""
    config = model.config
    special = {*processor.special_token_ids}
    labels = [label for i, label in enumerate(processor.occupations) if i not in special]
    titled = titles()
    codes = [label for label in labels if label in titled]
    others = [label for label in labels if label not in titled and label != processor.unknown_occupation]
    in_occ1990dd = bool(codes) and not any(label.isdigit() for label in others)
    states = [label for label in others if label in NOT_WORKING]
    sizes = {
        key: getattr(config, key)
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "two_stage")
        if hasattr(config, key)
    }
    resample = processor.training_stages[-1].get("bootstrap", {}) if processor.training_stages else {}
    return {
        "kind": model.description or f"an occupation model of the kind `{config.model_type}`",
        "model_class": type(model).__name__,
        "is_wage": config.model_type == "career_wage",
        "wage_timing": getattr(config, "wage_timing", None),
        "parameters": f"{model.num_parameters():,}",
        "sizes": ", ".join(f"{key} {value}" for key, value in sizes.items()),
        "version": __version__,
        "occupations": len(labels),
        "codes": len(codes) if in_occ1990dd else 0,
        "all_codes": len(occ1990dd()),
        "states": states,
        "others": [label for label in others if label not in states] if in_occ1990dd else [],
        "examples": [as_cell(label) for label in labels[:MOST_LISTED]],
        "unknown_occupation": processor.unknown_occupation,
        "vocabulary": hashlib.sha256("\n".join(processor.occupations).encode()).hexdigest()[:16],
        "step_length": processor.step_length,
        "weighted": processor.weight_scale is not None and resample.get("survey_weights", True),
        "resample": resample,
        "covariates": [
            (as_cell(name), len(levels) - 1, _levels((_periods(levels, processor) if name == "year" else levels)[1:]))
            for name, levels in zip(processor.covariate_names, processor.covariate_levels, strict=True)
        ],
    }


def _reach(processor: CareerProcessor) -> dict[str, Any] | None:
    """What a model was trained on, of all its stages together: occupations by the number of moves into them, states,
    years and levels; None where no stage has counted moves."""
    stages = [stage for stage in processor.training_stages if "move_counts" in stage]
    if not stages:
        return None
    moves = np.sum([stage["move_counts"] for stage in stages], axis=0)
    steps = np.sum([stage["occupation_counts"] for stage in stages], axis=0)
    apart = {*processor.special_token_ids, *(i for i, x in enumerate(processor.occupations) if x in NOT_WORKING)}
    apart |= {i for i, label in enumerate(processor.occupations) if label == processor.unknown_occupation}
    jobs = [i for i in range(len(processor.occupations)) if i not in apart]
    titled = titles()
    bounds = [(0, 0), (1, 9), (10, 99), (100, 999), (1_000, None)]
    rows = []
    for low, high in bounds:
        inside = [i for i in jobs if moves[i] >= low and (high is None or moves[i] <= high)]
        named = [processor.occupations[i] for i in sorted(inside, key=lambda i: moves[i])[:3]]
        some = "; ".join(as_cell(titled.get(label, label)) for label in named)
        name = f"{low:,} or more" if high is None else f"{low:,}" if low == high else f"{low:,} to {high:,}"
        rows.append((name, len(inside), some))
    states = [(x, _count(int(steps[i]))) for i, x in enumerate(processor.occupations) if x in NOT_WORKING]
    levels = []
    for c, (name, known) in enumerate(zip(processor.covariate_names, processor.covariate_levels, strict=True)):
        counts = np.sum([stage["covariate_counts"][c] for stage in stages], axis=0)
        seen = [i for i in range(1, len(known)) if counts[i]]
        if name == "year":
            known = _periods(known, processor)
            text = f"{known[seen[0]]} to {known[seen[-1]]}" if seen else "none"
        else:
            text = ", ".join(f"{as_cell(known[i])} ({counts[i]:,})" for i in seen[:MOST_LISTED])
        levels.append((as_cell(name), text, f"{counts[0]:,}"))
    rounded = max((stage.get("counts_rounded_to", 1) for stage in stages), default=1)
    return {"moves": rows, "states": states, "levels": levels, "rounded": rounded}


def _periods(levels: Sequence[str], processor: CareerProcessor) -> list[str]:
    """Levels of the year as people read them: labels where they are months or quarters."""
    unit, numbers = processor.time_unit, map(year_of, levels)
    pairs = zip(levels, numbers, strict=True)
    return [level if number is None else period_label(number, unit) for level, number in pairs]


def _levels(levels: Sequence[str]) -> str:
    if len(levels) <= MOST_LISTED:
        return as_cell(", ".join(levels))
    return as_cell(f"{', '.join(levels[:4])}, ..., {levels[-1]}")


def _text(row: Mapping[str, Any], metric: str) -> str:
    digits = METRICS[metric][1]
    low, high = (np.nan if row[end] is None else row[end] for end in ("low", "high"))
    return interval_text(row["estimate"], low, high, digits)


def _rows_of(results: Mapping[str, Any] | None, group: str) -> list[tuple[str, str, str, str]]:
    """Rows of metric, estimate with interval, steps and people."""
    rows = results["metrics"] if results else []
    return [
        (METRICS[row["metric"]][0], _text(row, row["metric"]), f"{row['n']:,}", f"{row['people']:,}")
        for row in rows
        if row["group"] == group
    ]


def _groups(results: Mapping[str, Any] | None) -> tuple[list[str], list[tuple[str, str, str, list[str]]]]:
    """The metrics of groups; and for every group its name, people, person-years and metrics."""
    rows = [row for row in results["metrics"] if row["group"] != EVERYBODY] if results else []
    groups: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["group"], {})[row["metric"]] = row
    metrics = [metric for metric in GROUP_METRICS if any(metric in group_rows for group_rows in groups.values())]
    return metrics, [
        (
            as_cell(group),
            f"{max(row['people'] for row in group_rows.values()):,}",
            f"{max(row['n'] for row in group_rows.values()):,}",
            [_text(group_rows[metric], metric) if metric in group_rows else "" for metric in metrics],
        )
        for group, group_rows in groups.items()
    ]


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _energy(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Time and estimated energy of every stage that recorded its run, and whether all stages did."""
    rows = []
    for stage in stages:
        run = stage["run"]
        if run is not None:
            hardware = run["hardware"]
            kwh = run["seconds"] * hardware["count"] * WATTS[hardware["kind"]] / 3.6e6
            machines = f"{hardware['count']} {hardware['name']}{'s' if hardware['count'] > 1 else ''}"
            rows.append((stage["name"], machines, _duration(run["seconds"]), f"{kwh:.1g}", run.get("resumed_at")))
    return {"rows": rows, "complete": len(rows) == len(stages) > 0 and not any(row[-1] for row in rows)}


__all__ = ["METRICS", "WATTS", "redistribution_of", "write_model_card"]
