"""Variants of CAREER are what they claim to be, and their study runs at a size at which nothing is learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_points import points_of
from encoded_examples import LEVELS, encoded_careers, small_model
from huggingface_hub.errors import StrictDataclassError
from replication import ablations as study
from replication.study import Trial
from transformers import AutoModelForCausalLM

from career_hf import CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import load_careers, save_careers, split_careers, split_manifest
from career_hf.encoding.collating import EncodedCareers, FlatteningCollator, PaddingCollator
from career_hf.evaluation.metrics import perplexity, perplexity_differences, stay_auc
from career_hf.models import modeling_career
from career_hf.models.attention import SDPA_BY_LENGTH
from career_hf.simulation import preset


SMALL = study.AblationSettings(rates=(1e-3,), seeds=2, most_steps=1, tokens_per_batch=400, draws=20)
COVARIATES = ("year", "education", "gender")
# A variant in the table, and the references of it and of CAREER.
FEW = [study.CAREER, study.NEMO, "NEMO, CAREER's size"]
LAYERS = 2


@pytest.fixture(scope="module")
def careers():
    return EncodedCareers(encoded_careers(12))


@pytest.fixture(scope="module")
def batch(careers):
    batch = PaddingCollator()(careers.gather(np.arange(12)))
    return {name: batch[name] for name in ("input_ids", "covariates", "labels")}


def variant(model, config, **fields):
    torch.manual_seed(0)
    shared = small_model().config.to_dict()
    made = model(config(**{key: value for key, value in shared.items() if key != "model_type"} | fields))
    with torch.no_grad():  # so that everything matters
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.3)
    return made.eval()


def late(layers):
    return variant(
        study.LateCovariatesForOccupationPrediction, study.LateCovariatesConfig, layers_before_covariates=layers
    )


def learned(positions=12):
    return variant(
        study.LearnedPositionsForOccupationPrediction,
        study.LearnedPositionsConfig,
        max_position_embeddings=positions,
    )


def output_weights(**fields):
    return variant(study.CovariateOutputForOccupationPrediction, study.CovariateOutputConfig, **fields)


ALL = {"before": lambda: late(1), "after": lambda: late(2), "learned": learned, "output": output_weights}


def layers_of(model, batch):
    """What each layer returns, then the log-probabilities."""
    seen = []
    hooks = [layer.register_forward_hook(lambda _m, _i, output: seen.append(output)) for layer in model.model.layers]
    logits = model(**batch).logits
    for hook in hooks:
        hook.remove()
    return [*seen, logits]


def other_covariates(batch):
    sizes = torch.tensor(list(LEVELS.values()))
    return batch | {"covariates": (batch["covariates"] + 1) % sizes}


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_late_covariates_reach_no_layer_before_their_place(batch, layers):
    model = late(layers)
    before, after = (layers_of(model, given) for given in (batch, other_covariates(batch)))
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [place < layers for place in range(LAYERS)] + [False]


def test_late_covariates_before_the_first_layer_are_career(batch):
    model, career = late(0), small_model().eval()
    renamed = {name.replace("late_covariates", "embed_covariates"): w for name, w in model.state_dict().items()}
    career.load_state_dict(renamed)
    torch.testing.assert_close(model(**batch).logits, career(**batch).logits)


def test_covariates_after_the_last_layer_are_added_to_what_it_returns(batch):
    model = late(LAYERS)
    *_, last, _ = layers_of(model, batch)
    tables = model.model.late_covariates
    expected = last + tables["year"](batch["covariates"][..., 0]) + tables["education"](batch["covariates"][..., 1])
    given = {name: batch[name] for name in ("input_ids", "covariates")}
    torch.testing.assert_close(model.model(**given).last_hidden_state, model.model.norm(expected))


def test_a_place_that_is_not_there_is_an_error():
    with pytest.raises(StrictDataclassError, match="layers_before_covariates is 3"):
        late(3)


def test_learned_positions_stand_where_sinusoids_do(batch, monkeypatch):
    model, career = learned(), small_model().eval()
    weights = model.state_dict()
    table = weights.pop("model.embed_positions.weight")
    assert table.shape == (12, 16)
    career.load_state_dict(weights)
    sinusoids = career(**batch).logits
    ours = model(**batch).logits
    assert not torch.allclose(ours, sinusoids, atol=1e-2)
    monkeypatch.setattr(modeling_career, "sinusoidal_positions", lambda position_ids, _size: table[position_ids])
    torch.testing.assert_close(career(**batch).logits, ours, atol=1e-5, rtol=1e-5)


def test_learned_positions_have_an_end(batch):
    steps = batch["input_ids"].shape[1]
    with pytest.raises(ValueError, match=f"{steps} steps, and positions were learned for {steps - 1}"):
        learned(steps - 1)(**batch)
    # All of them are trained.
    model = learned(steps).train()
    model(**batch).loss.backward()
    gradients = model.model.embed_positions.weight.grad
    assert (gradients.abs().sum(dim=1) > 0).all()


def test_output_weights_are_sums_over_covariates(batch):
    model, size = output_weights(), 16
    *_, last, log_probs = layers_of(model, batch)
    assert torch.equal(last, layers_of(model, other_covariates(batch))[-2])  # the transformer does not see them
    h = model.model.norm(last).detach().numpy()
    beta = model.lm_head.weight.detach().numpy().reshape(11, -1, size)  # occupation, place, D
    eta = model.stay_head.weight.detach().numpy().reshape(-1, size)
    place = {"year": 1, "education": 1 + LEVELS["year"]}
    for i, t in [(0, 0), (0, 1), (3, 2), (7, 0)]:
        chosen = [0, *(place[name] + int(batch["covariates"][i, t, c]) for c, name in enumerate(LEVELS))]
        scores = beta[:, chosen].sum(axis=1) @ h[i, t]
        stay = 1 / (1 + np.exp(-eta[chosen].sum(axis=0) @ h[i, t]))
        previous = int(batch["input_ids"][i, t])
        others = [j for j in range(2, 11) if j != previous]
        expected = np.exp(scores[others]) / np.exp(scores[others]).sum()
        found = log_probs[i, t].detach().exp().numpy()
        if t == 0:
            stay = 0.0
        else:
            assert found[previous] == pytest.approx(stay, rel=1e-4)
        np.testing.assert_allclose(found[others], (1 - stay) * expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_variants_are_saved_packed_and_trained_like_career(name, careers, batch, tmp_path):
    model = ALL[name]()
    padded = model(**batch)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is type(model) and again.config.model_type != "career"
    torch.testing.assert_close(again(**batch).logits, padded.logits)
    # End to end, in the attention that training on a CPU has.
    model.set_attn_implementation(SDPA_BY_LENGTH)
    assert {part.config._attn_implementation for part in (model, model.model)} == {SDPA_BY_LENGTH}
    flat = FlatteningCollator()(careers.gather(np.arange(12)))
    scored = batch["labels"] != -100
    torch.testing.assert_close(model(**flat).logits[0], padded.logits[scored], atol=1e-4, rtol=1e-4)
    # In training the softmax is on movers only.
    torch.testing.assert_close(model.train()(**flat).loss, padded.loss, atol=1e-5, rtol=1e-5)


def test_stays_train_the_softmax_over_all_occupations_and_predict_nothing(careers, batch, tmp_path):
    model = variant(study.TaughtByStaysForOccupationPrediction, study.TaughtByStaysConfig)
    career = small_model().eval()
    career.load_state_dict(model.state_dict())
    padded = model(**batch)
    torch.testing.assert_close(padded.loss, career(**batch).loss)
    torch.testing.assert_close(padded.logits, career(**batch).logits)
    labels, stays = batch["labels"].numpy(), (batch["labels"] == batch["input_ids"]).numpy()
    assert 0 < stays.sum() < (labels != -100).sum()
    scores = padded.last_hidden_state.detach().numpy() @ model.lm_head.weight.detach().numpy().T
    scores = scores[..., 2:]  # padding and the beginning of a career are no occupations
    log_probs = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    copied = -np.take_along_axis(log_probs, np.maximum(labels - 2, 0)[..., None], axis=-1)[..., 0][stays].sum()
    expected = padded.loss.item() + copied / (labels != -100).sum()
    model.train()
    assert model(**batch).loss.item() == pytest.approx(expected, rel=1e-5)
    flat = FlatteningCollator()(careers.gather(np.arange(12)))
    model.set_attn_implementation(SDPA_BY_LENGTH)
    assert model(**flat).loss.item() == pytest.approx(expected, rel=1e-5)
    model.save_pretrained(tmp_path)
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is type(model)
    with pytest.raises(StrictDataclassError, match="use CareerConfig"):
        study.TaughtByStaysConfig(two_stage=False)


@pytest.mark.parametrize("name", ALL)
def test_variants_start_like_career(name):
    torch.manual_seed(0)
    model = type(ALL[name]())(ALL[name]().config)
    for place, weight in model.named_parameters():
        if weight.dim() == 2 and weight.numel() > 100:
            assert weight.std().item() == pytest.approx(model.config.initializer_range, rel=0.3), place


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("careers")
    splits = split_careers(preset("tiny").simulate(60).careers)
    save_careers(splits, folder, manifest=split_manifest(splits))
    return folder


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """The study of few variants, what it found, and what it found when a table was lost, with times of files."""
    made = study.AblationStudy(tmp_path_factory.mktemp("ablations"), SMALL, data=data, covariates=COVARIATES)
    with pytest.MonkeyPatch.context() as patch:
        for name in set(study.VARIANTS) - set(FEW):
            patch.delitem(study.VARIANTS, name)
        runs, hours = SMALL.cost()
        found = made.run(workers=1)["ablations"]
        assert hours > 0 and len(list((made.folder / "models").iterdir())) == runs
        files = [*made.folder.rglob("*.parquet"), *made.folder.rglob("model.safetensors")]
        times = {path: path.stat().st_mtime_ns for path in files}
        lost = next(iter(times))
        lost.unlink()
        again = made.run(workers=1)["ablations"]
    return made, found, again, (lost, times)


def test_what_is_finished_is_not_run_again(done):
    made, found, again, (lost, times) = done
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} == {lost}
    pd.testing.assert_frame_equal(found, again)
    with pytest.raises(ValueError, match="other settings"):
        replace(made, covariates=("year",)).run()


def test_every_variant_is_tuned_alike():
    rates = {name: [] for name in study.VARIANTS}
    made = study.AblationStudy(Path("study"), data=Path("careers"), covariates=COVARIATES)
    for trial in made.trials():
        rates[trial.model].append(trial.rate)
    assert set(map(tuple, rates.values())) == {made.settings.rates} and len(made.settings.rates) == 4


def test_the_figure_has_every_variant_but_the_choices_and_every_size(done):
    made, found, *_ = done
    left, right = study.ablations_figure(found).axes
    labels = [label.get_text().replace("\n", " ") for label in left.get_yticklabels()]
    assert sorted(labels) == [f"NEMO, CAREER's size (against {study.NEMO})"]
    assert points_of(left)[:, 0] == pytest.approx([found.loc["NEMO, CAREER's size", "difference_from_choice"]])
    sizes = {tuple(point) for line in right.lines for point in line.get_xydata()}
    assert sizes == {tuple(row) for row in found[["parameters", "perplexity"]].to_numpy()}
    assert len(pd.read_csv(made.folder / "ablations.csv")) == len(FEW)


def test_the_table_holds_what_transition_tables_say(done):
    made, found, *_ = done
    tables = made.tables()
    name = "NEMO, CAREER's size"
    row = found.loc[name]
    nll = {model: np.mean([np.log(perplexity(table)) for table in tables[model]]) for model in tables}
    assert np.log(row["perplexity"]) == pytest.approx(nll[name])
    assert row["difference_from_career"] == pytest.approx(nll[name] - nll[study.CAREER])
    assert row["difference_from_choice"] == pytest.approx(nll[name] - nll[study.NEMO])
    whole = perplexity_differences(tables, study.NEMO, draws=SMALL.draws).loc[name]
    assert row[["low_from_choice", "high_from_choice"]].tolist() == pytest.approx(whole[["low", "high"]].tolist())
    of_kind = pd.concat(tables[name]).groupby("transition", observed=True)["log_prob"].mean()
    for kind in ("stay", "return", "new"):
        assert row[kind] == pytest.approx(np.exp(-of_kind[kind]))
    assert row["moving"] == pytest.approx(np.mean([stay_auc(table) for table in tables[name]]))
    # Rank among moves: staying is not one of the alternatives.
    moves = pd.concat(table[table["transition"].isin(["return", "new"])] for table in tables[name])
    rank = moves["rank"] - (moves["p_stay"] > np.exp(moves["log_prob"]))
    assert row["rank of moves"] == pytest.approx(rank.mean())
    assert row["top-5"] == pytest.approx((rank <= 5).mean())
    assert row["mean reciprocal rank"] == pytest.approx((1 / rank).mean())


def test_nemo_has_as_many_parameters_as_career(done, data):
    _, found, *_ = done
    splits = load_careers(data)
    processor = CareerProcessor.fit(splits["train"], COVARIATES, unknown_occupation="unknown")
    chosen = study.VARIANTS["NEMO, CAREER's size"]
    config = chosen.config_for(processor, 20)
    target = found.loc[study.CAREER, "parameters"]
    config.hidden_size -= 1
    smaller = chosen.model(config).num_parameters()
    assert smaller < target <= found.loc["NEMO, CAREER's size", "parameters"]


def test_the_models_are_those_of_the_settings(done, data):
    made, found, *_ = done
    career = AutoModelForCausalLM.from_pretrained(made.place(Trial(study.CAREER, 1e-3).folder))
    assert isinstance(career, CareerForOccupationPrediction)
    splits = load_careers(data)
    processor = CareerProcessor.fit(splits["train"], COVARIATES, unknown_occupation="unknown")
    longest = study.longest(splits)
    assert career.config.max_position_embeddings == longest == max(len(y) for s in splits.values() for y in s["year"])
    learned_positions = study.Variant("positions", study.LearnedPositionsForOccupationPrediction)
    paper = learned_positions.model(learned_positions.config_for(processor, longest))
    assert paper.num_parameters() - career.num_parameters() == 64 * longest


@pytest.mark.parametrize("name", ["no covariates", "second stage trained at stays too", "bag of jobs, D = 256"])
def test_variants_are_trained_as_what_they_are(data, tmp_path, name):
    made = study.AblationStudy(tmp_path, replace(SMALL, seeds=1), data=data, covariates=COVARIATES)
    model, processor = made.train(Trial(name, 1e-3))
    variant = study.VARIANTS[name]
    assert type(model) is variant.model
    assert {field: getattr(model.config, field) for field in variant.fields} == dict(variant.fields)
    assert processor.covariate_names == (list(COVARIATES) if variant.covariates else [])
    assert model.config.covariate_names == processor.covariate_names


def test_covariates_must_be_named(data, tmp_path):
    with pytest.raises(ValueError, match="at least one covariate"):
        study.AblationStudy(tmp_path, SMALL, data=data, covariates=()).run()
