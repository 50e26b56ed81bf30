"""Linear layers and dropout of this package do what PyTorch's do, whichever library computes their products."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

from career_hf.models import cpu_layers
from career_hf.models.attention import sdpa_by_length_forward
from career_hf.models.cpu_layers import PRODUCTS, Dropout, Linear, faster_products


CHOICES = list(chain.from_iterable(combinations(PRODUCTS, n) for n in range(4)))


def choose(monkeypatch, *names):
    """Products by oneDNN, whatever is faster on this machine."""
    monkeypatch.setattr(cpu_layers, "faster_products", lambda: frozenset(names))


def layers(bias=True):
    """A layer of this package and PyTorch's own with the same weights."""
    torch.manual_seed(0)
    ours, theirs = Linear(24, 40, bias=bias), nn.Linear(24, 40, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_and_its_gradients_are_those_of_torch(monkeypatch, names, bias):
    choose(monkeypatch, *names)
    x = torch.randn(3, 100, 24)
    results = []
    for layer in layers(bias):
        inputs = x.clone().requires_grad_()
        y = layer(inputs)
        y.square().sum().backward()
        assert bool(names) == (type(layer) is Linear and "Products" in str(y.grad_fn)) or type(layer) is nn.Linear
        results.append([y.detach(), inputs.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_what_is_frozen_gets_no_gradient(monkeypatch):
    choose(monkeypatch, *PRODUCTS)
    ours, _ = layers()
    ours.weight.requires_grad_(False)
    ours(torch.randn(300, 24)).sum().backward()
    assert ours.weight.grad is None
    assert ours.bias.grad.tolist() == [300.0] * 40
    with torch.inference_mode():
        assert ours(torch.randn(300, 24)).shape == (300, 40)


def test_second_derivatives_are_those_of_torch(monkeypatch):
    choose(monkeypatch, *PRODUCTS)
    x = torch.randn(300, 24, requires_grad=True)
    second = []
    for layer in layers():
        (first,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), [x, layer.weight]))
    for ours, theirs in zip(*second, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_what_oneDNN_is_not_for_is_left_to_torch(monkeypatch):
    choose(monkeypatch, *PRODUCTS)
    ours, theirs = layers()
    x = torch.randn(300, 24)

    def forward(x):
        return ours(x)

    assert "Products" in str(ours(x).grad_fn)
    assert "Products" not in str(ours(x[:3]).grad_fn), "too few rows"
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x), theirs(x))
    assert ours.to("meta")(x.to("meta")).shape == (300, 40)
    ours, theirs = layers()
    assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))
    ours, theirs = layers()
    by_row = torch.func.vmap(torch.func.grad(lambda row: ours(row).square().sum()))(x.view(1, 300, 24))
    assert torch.equal(by_row, torch.func.vmap(torch.func.grad(lambda row: theirs(row).square().sum()))(x[None]))
    assert "mkldnn" not in str(torch.export.export(ours, (x,)).graph)
    assert "mkldnn" not in str(torch.jit.trace(ours, x).graph)
    assert torch.equal(torch.compile(forward, backend="eager", fullgraph=True)(x), theirs(x))


def test_the_measurement_is_made_once_and_keeps_only_equal_products():
    assert faster_products() is faster_products()
    assert faster_products() <= set(PRODUCTS)
    torch.manual_seed(0)
    x, weight, g = torch.randn(64, 24), torch.randn(40, 24), torch.randn(64, 40)
    for mkl, onednn in PRODUCTS.values():
        assert torch.allclose(mkl(x, weight, g), onednn(x, weight, g), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
def test_dropout_drops_a_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(1_000, 301, requires_grad=True)
    y = Dropout(p)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y), "the gradient passes where the value did"
    assert set(y.unique().tolist()) == {0.0, y.max().item()}
    assert y.max().item() == pytest.approx(1 / (1 - p), rel=2e-5)
    share = (y == 0).float()
    # Five standard errors: of all, of each row and of pairs of neighbours.
    assert share.mean().item() == pytest.approx(p, abs=5 * (p * (1 - p) / y.numel()) ** 0.5)
    assert (share.mean(1) - p).abs().max().item() < 5 * (p * (1 - p) / 301) ** 0.5
    both = (share[:, 1:] * share[:, :-1]).mean().item()
    assert both == pytest.approx(p**2, abs=5 * (p**2 * (1 - p**2) / y.numel()) ** 0.5)


def test_masks_come_from_the_seed_of_torch():
    x, dropout = torch.ones(50, 20), Dropout(0.3)
    torch.manual_seed(1)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    # A layer that is computed again in backward has the same mask.
    inputs = x.clone().requires_grad_()
    y = checkpoint(dropout, inputs, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(inputs.grad, y)


def test_dropout_at_its_ends_and_where_it_is_left_to_torch(monkeypatch):
    x = torch.ones(50, 20)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros_like(x))
    assert Dropout(0.3).eval()(x) is x
    assert Dropout(0.3)(x.to("meta")).shape == x.shape
    assert Dropout(0.3)(x.bfloat16()).dtype == torch.bfloat16
    monkeypatch.setattr(cpu_layers, "ENABLED", False)
    torch.manual_seed(2)
    ours = Dropout(0.3)(x)
    torch.manual_seed(2)
    assert torch.equal(ours, nn.Dropout(0.3)(x))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradient_of_attention_by_length_is_that_of_its_values(dropout):
    ends = torch.tensor([0, 1, 3, 5, 8], dtype=torch.int32)
    torch.manual_seed(0)
    states = [torch.randn(1, 2, 8, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(*states):
        torch.manual_seed(3)
        return sdpa_by_length_forward(None, *states, None, dropout=dropout, cu_seq_lens_q=ends)[0]

    assert gradcheck(attend, states)
