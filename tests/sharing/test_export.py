"""Exported programs and ONNX files say what the model says, for numbers of careers and steps that export never saw."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from encoded_examples import small_model
from typer.testing import CliRunner

from career_hf import (
    BagOfJobsConfig,
    BagOfJobsForOccupationPrediction,
    CareerConfig,
    CareerForOccupationPrediction,
    CareerProcessor,
    Job2VecConfig,
    Job2VecForOccupationPrediction,
    JobRepresentationConfig,
    JobRepresentationForOccupationPrediction,
    MarkovConfig,
    MarkovForOccupationPrediction,
    MixtureOfMarkovChainsForOccupationPrediction,
    NemoConfig,
    NemoForOccupationPrediction,
    RegressionConfig,
    RegressionForOccupationPrediction,
)
from career_hf.careers import from_frame
from career_hf.cli.app import app
from career_hf.sharing.export import export_onnx, export_program, largest_difference, random_careers


FRAME = {
    "person": [1, 1, 1, 2, 2, 3],
    "year": [1990, 1991, 1992, 1991, 1992, 1990],
    "occupation": ["cook", "waiter", "cook", "clerk", "clerk", "cook"],
    "education": ["college", "college", None, "school", "school", "school"],
}
SHAPES = [(1, 1), (5, 2), (2, 3), (4, 17)]


@pytest.fixture(scope="module")
def careers():
    return from_frame(FRAME, covariates=["education"])


@pytest.fixture(scope="module")
def processor(careers):
    # Covariates are not in alphabetical order.
    return CareerProcessor.fit(careers, ["year", "education"], unknown_occupation="unknown")


def randomised(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def career(processor):
    """In two stages, with titles."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16, "title_embedding_size": 3}
    model = randomised(CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)))
    titles = {label: np.eye(3)[i % 3] for i, label in enumerate(processor.occupations)}
    model.set_title_embeddings(titles, untitled=["unknown"])
    return model


def mixture():
    plain = CareerProcessor.fit(from_frame(FRAME, covariates=["education"]), [])
    encoded, _ = plain.encode(from_frame(FRAME, covariates=["education"]))
    return MixtureOfMarkovChainsForOccupationPrediction.fit(encoded, plain, num_chains=2, restarts=1), plain


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "export.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def onnx_file(career, processor, tmp_path_factory):
    """What the command of the page writes, and what it prints."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("onnx")
    career.save_pretrained(folder / "runs" / "mine")
    processor.save_pretrained(folder / "runs" / "mine")
    command = re.search(r"```bash\ncareer-hf (.*?)```", PAGE, flags=re.DOTALL).group(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    return folder / "model.onnx", float(re.search(r"by (\S+) at most", result.output).group(1))


def session_of(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_onnx_gives_the_models_log_probabilities_whatever_the_shape(career, onnx_file):
    path, difference = onnx_file
    assert difference < 1e-5
    session = session_of(path)
    assert [axis.shape[:2] for axis in session.get_inputs()] == [["batch", "time"]] * 2
    for seed, (people, steps) in enumerate(SHAPES):
        inputs = random_careers(career.config, people, steps, seed)
        (exported_log_probs,) = session.run(["log_probabilities"], {name: ids.numpy() for name, ids in inputs.items()})
        with torch.no_grad():
            expected = career(**inputs).logits
        np.testing.assert_allclose(exported_log_probs, expected.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.exp(exported_log_probs).sum(-1)[inputs["input_ids"].numpy() != 0], 1, atol=1e-5)


def test_padding_changes_nothing_in_onnx(career, processor, careers, onnx_file):
    session = session_of(onnx_file[0])
    batch = processor(careers, return_tensors="np")
    names = ("input_ids", "covariates")
    (together,) = session.run(None, {name: batch[name] for name in names})
    for row, length in enumerate(batch["attention_mask"].sum(1)):
        (alone,) = session.run(None, {name: batch[name][row : row + 1, :length] for name in names})
        np.testing.assert_allclose(together[row, :length], alone[0], rtol=0, atol=1e-5)


def test_a_file_says_what_its_ids_mean(processor, onnx_file):
    metadata = session_of(onnx_file[0]).get_modelmeta().custom_metadata_map
    read = {name: json.loads(value) for name, value in metadata.items()}
    assert read["occupations"] == processor.occupations and read["covariate_names"] == ["year", "education"]
    assert read["covariate_levels"] == processor.covariate_levels
    assert read["special_token_ids"] == [0, 1] and read["unknown_occupation"] == "unknown"
    assert (read["pad_token_id"], read["bos_token_id"]) == (0, 1)


def test_a_wrong_file_is_far_from_the_model(career, onnx_file):
    torch.manual_seed(5)
    other = CareerForOccupationPrediction(career.config).eval()
    assert largest_difference(other, onnx_file[0]) > 0.1


def exported(processor):
    model_processor = processor
    return {
        "bag of jobs": lambda: BagOfJobsForOccupationPrediction(
            BagOfJobsConfig.from_processor(model_processor, embedding_size=8)
        ),
        "regression": lambda: RegressionForOccupationPrediction(RegressionConfig.from_processor(model_processor)),
        "job representation": lambda: JobRepresentationForOccupationPrediction(
            JobRepresentationConfig.from_processor(model_processor, embedding_size=8)
        ),
        "Job2Vec": lambda: Job2VecForOccupationPrediction(
            Job2VecConfig.from_processor(model_processor, embedding_size=8)
        ),
    }


@pytest.mark.parametrize("name", [*exported(None), "mixture"])
def test_programs_give_the_models_log_probabilities(name, processor):
    model = mixture()[0] if name == "mixture" else randomised(exported(processor)[name]())
    module = export_program(model).module()
    assert type(model).why_not_exported is None
    for seed, (people, steps) in enumerate(SHAPES):
        inputs = random_careers(model.config, people, steps, seed)
        with torch.no_grad():
            torch.testing.assert_close(module(**inputs), model(**inputs).logits, rtol=0, atol=1e-5)


def test_career_in_one_stage_is_exported_and_left_as_it_is():
    model = randomised(small_model(two_stage=False, num_hidden_layers=1)).to(torch.bfloat16).train()
    model.set_attn_implementation("sdpa_by_length")
    module = export_program(model).module()
    assert model.dtype == torch.bfloat16 and model.training
    assert model.config._attn_implementation == "sdpa_by_length"
    inputs = random_careers(model.config, 2, 4)
    with torch.no_grad():
        expected = model.float().eval()(**inputs).logits
    torch.testing.assert_close(module(**inputs), expected, rtol=0, atol=1e-5)


def test_a_rival_without_covariates_is_exported_to_onnx(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, processor = mixture()
    assert export_onnx((model, processor), tmp_path / "mixture.onnx") < 1e-5
    assert [value.name for value in session_of(tmp_path / "mixture.onnx").get_inputs()] == ["input_ids"]


def test_what_cannot_be_exported_says_why(processor, career, tmp_path):
    nemo = NemoForOccupationPrediction(NemoConfig.from_processor(processor, hidden_size=8))
    with pytest.raises(ValueError, match="NemoForOccupationPrediction cannot be exported: an LSTM is unrolled"):
        export_program(nemo)
    plain = CareerProcessor.fit(from_frame(FRAME, covariates=["education"]), [])
    with pytest.raises(ValueError, match="MarkovFor.* looks counts up"):
        export_program(MarkovForOccupationPrediction(MarkovConfig(**plain.config_kwargs())))
    regression = RegressionForOccupationPrediction(RegressionConfig.from_processor(processor))
    with pytest.raises(ValueError, match="no running maximum .* use export_program"):
        export_onnx((regression, processor), tmp_path / "regression.onnx")
    with pytest.raises(ValueError, match="id2label|covariate_names|vocab_size|occupation"):
        export_onnx((career, plain), tmp_path / "other.onnx")
    assert not list(tmp_path.iterdir())


def test_the_python_of_the_page_runs(career, processor, onnx_file, monkeypatch):
    monkeypatch.chdir(onnx_file[0].parent)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    history = {"year": [1990, 1991, 1992], "occupation": ["cook", "waiter", "cook"], "education": "college"}
    with torch.no_grad():
        expected = career(**{k: v for k, v in processor(history).items() if k != "labels"}).logits[0, -1]
    likeliest = [processor.occupations[i] for i in expected.argsort(descending=True)[:3].tolist()]
    assert list(names["likeliest"]) == likeliest
    assert sum(names["likeliest"].values()) == pytest.approx(expected.exp().sort().values[-3:].sum().item(), abs=1e-5)
    torch.testing.assert_close(names["loaded"](**names["inputs"]), names["expected"], rtol=0, atol=1e-5)
