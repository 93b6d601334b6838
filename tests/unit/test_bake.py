"""Baking leaves plain weights and the same outputs, and never touches the user's module."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm  # noqa: E402

from ashore.errors import UnsupportedModel  # noqa: E402
from ashore_converters.bake import bake, quantized_weights  # noqa: E402


class Wrapped(nn.Module):
    """What a converter gets: the user's module as the child ``model``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return (self.model(x),)


def prune_twice(layer):
    prune.random_unstructured(layer, "weight", 0.5)
    prune.ln_structured(layer, "weight", 0.25, n=2, dim=0)
    prune.random_unstructured(layer, "bias", 0.5)


def norm_by_hook(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old form is what is under test
        weight_norm(layer)


COMPRESSED = {
    "pruned": prune_twice,
    "weight_norm hook": norm_by_hook,
    "weight_norm parametrization": parametrizations.weight_norm,
    "spectral_norm hook": spectral_norm,
    "orthogonal": parametrizations.orthogonal,
}


def compressed(name):
    torch.manual_seed(0)
    layer = nn.Linear(16, 16)
    COMPRESSED[name](layer)
    return Wrapped(nn.Sequential(layer, nn.ReLU(), nn.Linear(16, 4))).eval()


@pytest.mark.parametrize("name", COMPRESSED)
def test_baked_layer_is_plain_and_computes_the_same(name):
    model, x = compressed(name), torch.randn(3, 16)
    expected = model(x)[0]
    baked = bake(model)
    assert sorted(baked.state_dict()) == ["model.0.bias", "model.0.weight", "model.2.bias", "model.2.weight"]
    assert type(baked.model[0]) is nn.Linear and not baked.model[0]._forward_pre_hooks
    torch.testing.assert_close(baked(x)[0], expected)


@pytest.mark.parametrize("name", COMPRESSED)
def test_baking_leaves_the_original_as_it_was(name):
    model, x = compressed(name), torch.randn(3, 16)
    keys, expected = sorted(model.state_dict()), model(x)[0]
    bake(model)
    assert sorted(model.state_dict()) == keys
    torch.testing.assert_close(model(x)[0], expected)
    assert all(p.requires_grad for p in model.parameters())


def test_tied_weights_stay_tied():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    baked = bake(Wrapped(nn.Sequential(first, second)).eval())
    assert baked.model[0].weight is baked.model[1].weight


def torchao_model(config):
    from torchao.quantization import quantize_

    torch.manual_seed(0)
    model = Wrapped(nn.Sequential(nn.Linear(64, 32), nn.ReLU())).eval()
    quantize_(model, config)
    return model


def test_torchao_weight_only_tensors_become_plain_floats():
    from torchao.quantization import IntxWeightOnlyConfig

    model, x = torchao_model(IntxWeightOnlyConfig()), torch.randn(2, 64)
    baked = bake(model)
    assert type(baked.model[0].weight.data) is torch.Tensor
    torch.testing.assert_close(baked(x)[0], model(x)[0])
    assert quantized_weights(baked) == ()


def test_torchao_tensors_are_kept_when_asked_and_described_by_the_users_path():
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup

    config = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32))
    kept = bake(torchao_model(config), keep=lambda weight: weight.bits == 4)
    (weight,) = quantized_weights(kept)
    assert (weight.module_path, weight.bits, weight.grouped, weight.dynamic_activations) == ("0", 4, True, True)


# Building the packed layers warns that torch will drop them; users' checkpoints still hold them.
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_dynamically_quantized_linear_becomes_a_float_one():
    torch.manual_seed(0)
    packed = torch.ao.nn.quantized.dynamic.Linear(16, 4)  # its weights are whatever lay in memory
    packed.set_weight_bias(torch.quantize_per_tensor(torch.randn(4, 16), 0.03, 0, torch.qint8), torch.randn(4))
    model, x = Wrapped(nn.Sequential(packed)).eval(), torch.randn(2, 16)
    baked = bake(model)
    assert type(baked.model[0]) is nn.Linear
    torch.testing.assert_close(baked(x)[0], model(x)[0], atol=0.05, rtol=0.05)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_other_packed_layers_are_refused_by_name():
    model = Wrapped(nn.Sequential(nn.ReLU(), torch.ao.nn.quantized.Conv2d(3, 4, 3))).eval()
    with pytest.raises(UnsupportedModel) as caught:
        bake(model)
    assert "layer '1' is torch.ao.nn.quantized" in caught.value.message
    assert "--precision int8" in caught.value.hint


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def masked(layer):
    prune.l1_unstructured(layer, "weight", 0.5)


TIED = {
    "pruned": masked,
    "parametrized": lambda layer: parametrize.register_parametrization(layer, "weight", Halved()),
    "orthogonal": parametrizations.orthogonal,
}


def tied(*changes):
    """An embedding and a linear layer of one weight; the changes are made to the last layers."""
    torch.manual_seed(0)
    layers = nn.Embedding(8, 4), nn.Linear(4, 8, bias=False)
    layers[1].weight = layers[0].weight
    for layer, change in zip(layers[-len(changes) :], changes, strict=True):
        change(layer)
    return Wrapped(nn.Sequential(*layers)).eval()


@pytest.mark.parametrize("name", TIED)
def test_a_layer_tied_to_a_compressed_one_keeps_its_weight(name):
    model, ids = tied(TIED[name]), torch.arange(8)[None]
    expected = model(ids)[0]
    torch.testing.assert_close(bake(model)(ids)[0], expected)


def test_tied_layers_of_the_same_mask_stay_tied_and_of_others_do_not():
    same = bake(tied(masked, masked)).model
    assert same[0].weight is same[1].weight
    other = bake(tied(masked, lambda layer: prune.l1_unstructured(layer, "weight", 0.25))).model
    assert [int((layer.weight == 0).sum()) for layer in other] == [16, 8]
