"""Occupations with titles: off they change nothing, on they are what the equations say, and they move with names."""

import copy
import re
import unittest
from pathlib import Path

import numpy as np
import pytest
import test_transformers_contract as contract
import torch
from command_output import words
from encoded_examples import encoded_careers, small_model
from huggingface_hub.errors import StrictDataclassError
from safetensors.numpy import save_file
from test_transfer import RESUMES, survey
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.models.cpu_layers import Linear
from career_hf.models.title_embeddings import load_title_embeddings, save_title_embeddings
from career_hf.trained_models import untitled_occupations
from career_hf.training.trainer import build_trainer, scratch_recipe


SIZE, OCCUPATIONS = 5, 9
CAREERS = EncodedCareers(encoded_careers(12))


def batch():
    padded = PaddingCollator()(CAREERS.gather(np.arange(12)))
    return {name: padded[name] for name in ("input_ids", "covariates", "labels")}


def vectors(labels, seed=0):
    rows = np.random.default_rng(seed).normal(size=(len(labels), SIZE))
    return dict(zip(labels, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))


def titled(seed=0, learned=False, **config):
    """A model with titles for `encoded_careers`; `learned` gives projections values, as training would."""
    torch.manual_seed(seed)
    model = small_model(title_embedding_size=SIZE, **config).eval()
    model.set_title_embeddings(vectors([str(i) for i in range(2, OCCUPATIONS + 2)]))
    if learned:
        learn(model)
    return model


def learn(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for table in (model.model.embed_tokens, model.lm_head):
            table.weight.normal_(0, 0.5, generator=generator)
            table.title_projection.weight.normal_(0, 0.5, generator=generator)


def scores(model):
    with torch.no_grad():
        return model.eval()(**batch()).logits


def test_without_titles_nothing_is_new():
    torch.manual_seed(0)
    model = small_model()
    assert model.config.title_embedding_size is None
    assert not [name for name in model.state_dict() if "title" in name]
    assert type(model.model.embed_tokens) is torch.nn.Embedding and type(model.lm_head) is Linear


def test_a_model_with_titles_starts_as_the_one_without():
    torch.manual_seed(0)
    plain = small_model().eval()
    model = titled()
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in plain.state_dict().items())
    assert torch.equal(scores(model), scores(plain))


def test_weights_are_those_of_the_equations():
    model = titled(learned=True)
    plain = small_model().eval()
    weights = {name: w for name, w in model.state_dict().items() if "title" not in name}
    tables = {"model.embed_tokens": model.model.embed_tokens, "lm_head": model.lm_head}
    for name, table in tables.items():
        own_weights, projection = table.weight.detach().numpy(), table.title_projection.weight.detach().numpy()
        given = np.zeros((OCCUPATIONS + 2, SIZE), dtype=np.float32)
        for label, vector in vectors([str(i) for i in range(2, OCCUPATIONS + 2)]).items():
            given[int(label)] = vector
        rows = [own_weights[j] + projection @ given[j] for j in range(len(own_weights))]
        weights[f"{name}.weight"] = torch.from_numpy(np.stack(rows))
    plain.load_state_dict(weights)
    torch.testing.assert_close(scores(model), scores(plain), rtol=0, atol=1e-5)
    # In training the softmax is on movers only.
    torch.testing.assert_close(model.train()(**batch()).loss, plain.eval()(**batch()).loss, rtol=0, atol=1e-5)


def test_gradients_reach_projections_and_not_titles():
    model = titled().train()
    model(**batch()).loss.backward()
    for table in (model.model.embed_tokens, model.lm_head):
        assert (table.title_projection.weight.grad.abs().sum(dim=1) > 0).all()
        assert not table.title_projection.title_embeddings.requires_grad


def test_occupations_with_one_title_learn_from_each_other():
    # Of two occupations with the same title only the first is trained on.
    careers = {"person": [1, 1, 2, 2], "year": [1990, 1991] * 2, "occupation": ["cook", "waiter"] * 2}
    processor = CareerProcessor.fit(from_frame(careers), [], occupations=["cook", "waiter", "server", "pilot"])
    titles = vectors(["cook", "waiter", "pilot"])
    config = CareerConfig(**processor.config_kwargs(), hidden_size=16, num_hidden_layers=1, title_embedding_size=SIZE)
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(config)
    model.set_title_embeddings(titles | {"server": titles["waiter"]})
    inputs = processor(from_frame(careers))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        model.train()(**inputs).loss.backward()
        optimizer.step()
    with torch.no_grad():
        after_cook = model.eval()(**inputs).logits[0, 1]
    server, pilot = (after_cook[processor.occupations.index(label)] for label in ("server", "pilot"))
    assert server > pilot + 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_and_load(dtype, tmp_path):
    model = titled(learned=True).to(dtype)
    model.save_pretrained(tmp_path)
    loaded, report = CareerForOccupationPrediction.from_pretrained(tmp_path, dtype=dtype, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert loaded.lm_head.title_projection.title_embeddings.dtype == dtype
    assert torch.equal(scores(loaded), scores(model)) and scores(model).dtype == torch.float32
    if dtype == torch.bfloat16:
        assert (scores(model) - scores(titled(learned=True))).abs()[:, 0, 2:].max() < 0.1


def test_a_trained_model_can_be_given_titles(tmp_path):
    torch.manual_seed(0)
    plain = small_model().eval()
    plain.save_pretrained(tmp_path)
    model = CareerForOccupationPrediction.from_pretrained(tmp_path, title_embedding_size=SIZE)
    model.set_title_embeddings(vectors([str(i) for i in range(2, OCCUPATIONS + 2)]))
    assert torch.equal(scores(model), scores(plain))


def test_it_is_built_on_the_meta_device_and_compiled():
    config = titled().config
    with torch.device("meta"):
        assert CareerForOccupationPrediction(config).lm_head.title_projection.weight.is_meta


def own_tests():
    class Tester(contract.CareerModelTester):
        def get_config(self):
            config = super().get_config()
            config.title_embedding_size = SIZE
            return config

    class Titled(contract.CareerModelTest):
        def setUp(self):
            super().setUp()
            self.model_tester = Tester(self)

    return Titled


@pytest.mark.parametrize(
    "name",
    [
        "test_init_weights_can_init_buffers",
        "test_can_init_all_missing_weights",
        "test_save_load",
        "test_from_pretrained_no_checkpoint",
    ]
    + ["test_training_gradient_checkpointing", "test_batching_equivalence", "test_can_use_safetensors"],
)
def test_transformers_own_tests(name):
    result = unittest.TestResult()
    own_tests()(name).run(result)
    assert result.testsRun == 1 and not result.skipped
    assert result.wasSuccessful(), (result.errors + result.failures)[0][1]


@pytest.fixture
def pretrained():
    processor = CareerProcessor.fit(from_frame(RESUMES, covariates=["education"]), covariates=["year", "education"])
    config = CareerConfig(
        **processor.config_kwargs(),
        hidden_size=8,
        num_hidden_layers=1,
        intermediate_size=16,
        title_embedding_size=SIZE,
    )
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(config).eval()
    model.set_title_embeddings(vectors(["cook", "waiter", "clerk"]))
    learn(model)
    return processor, model


def test_titles_move_by_name_and_new_occupations_start_from_theirs(pretrained):
    old, model = pretrained
    before = copy.deepcopy(model)
    # In another order, with a dropped occupation and a new state that has no title.
    new = CareerProcessor.fit(survey(), covariates=["gender", "education"])
    assert new.occupations.index("cook") != old.occupations.index("cook")
    given = vectors(["baker", "cook"], seed=2)
    model.resize_vocabulary(old, new, titles=given, untitled=["unemployed"])
    old_titles = vectors(["cook", "waiter", "clerk"])
    expected = {"cook": old_titles["cook"], "baker": given["baker"], "unemployed": np.zeros(SIZE)}
    for table, source in ((model.model.embed_tokens, before.model.embed_tokens), (model.lm_head, before.lm_head)):
        assert torch.equal(table.title_projection.weight, source.title_projection.weight)
        row = dict(zip(new.occupations, table.title_projection.title_embeddings, strict=True))
        for label, vector in expected.items():
            torch.testing.assert_close(row[label], torch.tensor(vector, dtype=torch.float32))
        weight = dict(zip(new.occupations, table.weight, strict=True))
        assert torch.equal(weight["cook"], source.weight[old.occupations.index("cook")])
        assert (weight["baker"] == 0).all() and (weight["unemployed"] != 0).any()
    new.check(model.config)
    # A baker is predicted as likely as the title says, before any fine-tuning.
    inputs = {name: value for name, value in new(survey()).items() if name != "labels"}
    with torch.no_grad():
        hidden = model.model(**inputs).last_hidden_state
        logit = (
            hidden[0, 0] @ model.lm_head.title_projection.weight @ torch.tensor(given["baker"], dtype=torch.float32)
        )
        score = model.lm_head(hidden[0, 0])[new.occupations.index("baker")]
    torch.testing.assert_close(score, logit)


def test_a_resized_model_survives_saving(pretrained, tmp_path):
    old, model = pretrained
    new = old.extend(survey(), covariates=["gender"])
    model.resize_vocabulary(old, new, titles=vectors(["baker", "unemployed"]))
    model.save_pretrained(tmp_path)
    inputs = new(survey())
    loaded = CareerForOccupationPrediction.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, rtol=0, atol=1e-6)


def test_what_is_wrong_with_titles_names_the_occupation(pretrained):
    old, model = pretrained
    right = vectors(["cook", "waiter", "clerk"])
    for titles, untitled, message in [
        ({k: v for k, v in right.items() if k != "waiter"}, (), r"occupation 'waiter' has no title vector \(1 of 3"),
        (right | {"clerk": np.full(SIZE, np.nan)}, (), "vector of occupation 'clerk' is not finite"),
        (right | {"clerk": np.zeros(SIZE + 1)}, (), r"'clerk' has shape \(6,\), and the model's are \(5,\)"),
        (right, ("chef",), "untitled= names 'chef', which is not an occupation"),
    ]:
        before = model.lm_head.title_projection.title_embeddings.clone()
        with pytest.raises(ValueError, match=message):
            model.set_title_embeddings(titles, untitled)
        assert torch.equal(model.lm_head.title_projection.title_embeddings, before)
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="occupation 'unemployed' has no title vector"):
        model.resize_vocabulary(old, old.extend(survey()), titles=vectors(["baker"]))
    old.check(model.config)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    with pytest.raises(ValueError, match="no place for titles: make it with"):
        small_model().set_title_embeddings(right)
    with pytest.raises(StrictDataclassError, match="title_embedding_size must be at least 1, and is 0"):
        small_model(title_embedding_size=0)


def test_titles_are_required_before_training(pretrained, tmp_path):
    processor, _ = pretrained
    encoded, _ = processor.encode(from_frame(RESUMES, covariates=["education"]))
    recipe = scratch_recipe(processor, tmp_path, config_overrides={"title_embedding_size": SIZE})
    with pytest.raises(ValueError, match="title_embedding_size=5 and no titles"):
        build_trainer(CareerForOccupationPrediction(recipe.config), processor, recipe, encoded, encoded)


def test_files_of_titles(tmp_path):
    titles = vectors(["b", "a", "é"])
    save_title_embeddings(tmp_path / "titles.safetensors", titles)
    read = load_title_embeddings(tmp_path / "titles.safetensors")
    assert list(read) == ["b", "a", "é"]
    for label, vector in titles.items():
        np.testing.assert_array_equal(read[label], vector.astype(np.float32))
    save_file({"title_embeddings": np.zeros((2, 3), dtype=np.float32)}, tmp_path / "nameless.safetensors")
    with pytest.raises(ValueError, match="nameless.safetensors has the tensors .* 0 occupation labels"):
        load_title_embeddings(tmp_path / "nameless.safetensors")
    with pytest.raises(ValueError, match="occupation 'a' has shape"):
        save_title_embeddings(tmp_path / "ragged.safetensors", {"b": [1.0], "a": [1.0, 2.0]})


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "titles.md").read_text(encoding="utf-8")


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, words(result)


def test_the_page_runs_and_so_do_its_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, codes in {"mine": ["22", "313", "95", "unemployed"], "other": ["22", "178", "unemployed"]}.items():
        rows = [(f"p{p}", 1990 + t, rng.choice(codes)) for p in range(30) for t in range(4)]
        table = dict(zip(("person", "year", "occupation"), zip(*rows, strict=True), strict=True))
        save_careers(split_careers(from_frame(table)), f"careers/{name}")
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(blocks[0], names)
    lawyer = np.full(3, 3**-0.5)
    save_title_embeddings("titles.safetensors", {**load_title_embeddings("titles.safetensors"), "178": lawyer})
    exec(blocks[1], names)
    assert names["model"].config.title_embedding_size == 3 == names["vectors"].shape[1]

    commands = re.search(r"```bash\n(career-hf train.*?)```", PAGE, flags=re.DOTALL).group(1).splitlines()
    short = ["--max-steps", 2, "--eval-steps", 1, "--tokens-per-batch", 60, "--warmup-steps", 1]
    for line in commands:
        code, printed = command(*line.split()[1:], *short)
        assert code == 0, printed
    assert "2 fresh" not in printed and "occupation: 7 kept, 1 fresh" in printed
    tuned = CareerForOccupationPrediction.from_pretrained("runs/other")
    row = tuned.lm_head.title_projection.title_embeddings[tuned.config.label2id["178"]]
    torch.testing.assert_close(row, torch.tensor(lawyer, dtype=torch.float32))

    # A checkpoint without titles can be fine-tuned with them.
    plain = ["train", "--data", "careers/mine", "--output", "runs/plain", "--covariates", "year", *short]
    assert command(*plain)[0] == 0
    code, printed = command(*commands[1].replace("runs/titled", "runs/plain").split()[1:], *short, "--overwrite")
    assert code == 0, printed

    few = {label: v for label, v in load_title_embeddings("titles.safetensors").items() if label != "unemployed"}
    save_title_embeddings("few.safetensors", few)
    given = ["--title-embeddings", "few.safetensors"]
    code, printed = command(*plain, *given)
    assert code == 2 and "occupation 'unemployed' has no title vector" in printed
    assert untitled_occupations(names["processor"], few, ["unemployed", "22"]) == ["unknown", "unemployed"]
    code, printed = command(*plain, *given, "--model", "nemo")
    assert code == 2 and "rivals have no place for titles" in printed
