"""NEMO: the LSTM written out in numpy, and the size that the paper gives."""

from __future__ import annotations

import numpy as np
import torch

from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction


CONFIG = {"vocab_size": 7, "covariate_names": ["race", "year"], "covariate_sizes": [3, 5]}


def model_of(**fields):
    model = NemoForOccupationPrediction(NemoConfig(**CONFIG, **fields)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(weight, layers, input_ids, levels):
    """Scores of every step: embeddings added up, then the LSTM's recursion gate by gate."""
    steps = [
        weight["embed_tokens.weight"][i]
        + weight["embed_covariates.race.weight"][race]
        + weight["embed_covariates.year.weight"][year]
        for i, (race, year) in zip(input_ids, levels, strict=True)
    ]
    for layer in range(layers):
        hidden = cell = np.zeros_like(steps[0])
        out = []
        for x in steps:
            gates = (
                weight[f"lstm.weight_ih_l{layer}"] @ x
                + weight[f"lstm.weight_hh_l{layer}"] @ hidden
                + weight[f"lstm.bias_ih_l{layer}"]
                + weight[f"lstm.bias_hh_l{layer}"]
            )
            enter, forget, content, leave = np.split(gates, 4)
            cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(content)
            hidden = sigmoid(leave) * np.tanh(cell)
            out.append(hidden)
        steps = out
    return np.stack(steps) @ weight["output.weight"].T + weight["output.bias"]


def test_scores_are_an_lstm_of_the_sum_of_embeddings():
    rng = np.random.default_rng(0)
    for layers in (1, 2):
        model = model_of(hidden_size=6, num_hidden_layers=layers)
        weight = {name: value.double().numpy() for name, value in model.state_dict().items()}
        input_ids, levels = [1, *rng.integers(2, 7, 8)], rng.integers(0, [3, 5], (9, 2))
        with torch.no_grad():
            logits, stay_logit = model.scores(torch.tensor([input_ids]), torch.from_numpy(levels)[None])
        expected = reference(weight, layers, input_ids, levels)
        np.testing.assert_allclose(logits[0], expected[:, :7], atol=1e-5)
        np.testing.assert_allclose(stay_logit[0], expected[:, 7], atol=1e-5)


def test_the_default_has_two_layers_of_200_hidden_units():
    with torch.device("meta"):
        model = NemoForOccupationPrediction(NemoConfig(**CONFIG))
        one_stage = NemoForOccupationPrediction(NemoConfig(**CONFIG, two_stage=False))
    embeddings = (7 + 3 + 5) * 200
    layer = 4 * (200 * 200 + 200 * 200 + 200 + 200)  # four gates: input, hidden state and their two intercepts
    assert model.num_parameters() == embeddings + 2 * layer + (200 + 1) * (7 + 1)
    assert one_stage.num_parameters() == embeddings + 2 * layer + (200 + 1) * 7


def test_fresh_weights_are_as_large_as_fairseqs_uniform_ones():
    """U(-.1, .1) has a standard deviation of .058; with .02 NEMO learns far more slowly."""
    model = NemoForOccupationPrediction(NemoConfig(**CONFIG))
    for weight in (model.embed_tokens.weight, model.output.weight, *model.lstm.parameters()):
        if weight.dim() == 2:
            assert 0.04 < weight.std() < 0.09


def test_dropout_is_on_the_input_and_the_output_and_in_training_alone():
    model = model_of(hidden_size=6, hidden_dropout=0.5)
    assert model.lstm.dropout == 0.5  # between the layers
    zeros = {}
    for module in (model.lstm, model.output):
        module.register_forward_pre_hook(lambda module, given: zeros.update({module: (given[0] == 0).any().item()}))
    inputs = torch.tensor([[1, 2, 3, 4]]), torch.zeros(1, 4, 2, dtype=torch.long)
    torch.manual_seed(0)
    model(*inputs)
    assert zeros == {model.lstm: False, model.output: False}
    model.train()(*inputs)
    assert zeros == {model.lstm: True, model.output: True}
