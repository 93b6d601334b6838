"""Modules that cannot run as they come: without numbers, on other devices, with adapters beside their weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import prune

from ashore import ModelSource
from ashore.errors import UnsupportedModel, UsageError
from ashore.sources.eager import run_eager
from ashore.sources.prepare import prepare

X = torch.ones(1, 4)


class Adapted(torch.nn.Module):
    """Speaks like a model of PEFT: a base model, a low-rank addition, and a way to merge the two.

    tests/integration/test_peft.py asks PEFT itself, where it is installed.
    """

    adapter_layer_names = ("down", "up")

    def __init__(self) -> None:
        super().__init__()
        self.base = torch.nn.Linear(4, 4)
        self.down = torch.nn.Linear(4, 1, bias=False)
        self.up = torch.nn.Linear(1, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.up(self.down(x.to(self.down.weight.dtype)))
        return self.base(x) + added.to(x.dtype)

    def merge_and_unload(self) -> torch.nn.Module:
        with torch.no_grad():
            self.base.weight += self.up.weight @ self.down.weight
        return self.base


def refused(module: torch.nn.Module) -> UsageError:
    with pytest.raises(UsageError) as caught:
        prepare(ModelSource(module, (X,), "tiny"))
    assert caught.value.exit_code == 2
    return caught.value


def test_a_part_without_numbers_is_named() -> None:
    error = refused(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2, device="meta")))
    assert "tensor '1.weight' of the model is on the device 'meta'" in error.message
    assert "load its weights first" in error.hint


def test_a_tensor_that_stays_on_another_device_is_named() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    model[0].scale = torch.ones(4, device="meta")
    error = refused(model)
    assert "tensor '0.scale' of the model stays on the device 'meta'" in error.message
    assert "register_buffer()" in error.hint


@pytest.mark.parametrize("wrap", [lambda model: model, torch.nn.Sequential], ids=["alone", "inside a model"])
def test_adapters_are_merged_and_the_users_model_stays(wrap) -> None:  # type: ignore[no-untyped-def]
    model = wrap(Adapted())
    expected, before = model(X).detach().numpy(), sum(p.numel() for p in model.parameters())
    prepared = prepare(ModelSource(model, (X,), "adapted"))
    assert prepared.record.parameters == 20 < before
    (answer,) = run_eager(prepared.model, prepared.example, prepared.outputs).values()
    assert answer == pytest.approx(expected, abs=1e-6)
    assert sum(p.numel() for p in model.parameters()) == before
    assert model(X).detach().numpy() == pytest.approx(expected)


def test_halves_are_widened_before_the_adapters_beside_them_are_merged() -> None:
    model = Adapted()
    model.base.to(torch.bfloat16)
    prepared = prepare(ModelSource(model, (X.to(torch.bfloat16),), "adapted"))
    (answer,) = run_eager(prepared.model, prepared.example, prepared.outputs).values()
    assert "the model came in bfloat16: its weights are read as float32, in which it is judged" in prepared.warnings
    expected = model.base.float()(X) + model.up(model.down(X))
    assert answer == pytest.approx(expected.detach().numpy(), abs=1e-6)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_read_as_float32(half: torch.dtype) -> None:
    model = torch.nn.Linear(4, 4).to(half)
    prepared = prepare(ModelSource(model, (X.to(half),), "half", evaluation=[(X.to(half) / 3,)]))
    assert [spec.dtype for spec in (*prepared.inputs, *prepared.outputs)] == ["float32", "float32"]
    (sample,) = prepared.evaluation
    assert sample["input"] == pytest.approx((X.to(half) / 3).float().numpy(), abs=0)
    (answer,) = prepared.answers([sample])[0].values()
    expected = torch.nn.functional.linear((X.to(half) / 3).float(), model.weight.float(), model.bias.float())
    assert answer == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert model.weight.dtype is half
    word = str(half).removeprefix("torch.")
    assert f"the model came in {word}: its weights are read as float32, in which it is judged" in prepared.warnings


def test_a_model_that_mixes_formats_is_left_as_its_author_mixed_it() -> None:
    class Mixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Linear(4, 4).half(), torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            halves: torch.Tensor = self.first(x.half())
            answer: torch.Tensor = self.last(halves.float())
            return answer

    prepared = prepare(ModelSource(Mixed(), (X,), "mixed"))
    assert {weight.dtype for weight in prepared.model.parameters()} == {torch.float16, torch.float32}
    assert not [warning for warning in prepared.warnings if "float32" in warning]


class Tuned(torch.nn.Module):
    """A layer with an adapter, as PEFT names its parts."""

    adapter_layer_names = ("added",)

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.base_layer, self.added = layer, torch.nn.Linear(4, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.base_layer(x) + self.added(x)
        return answer

    def merge_and_unload(self) -> torch.nn.Module:
        self.base_layer.weight.data += self.added.weight.data
        return self.base_layer


def test_an_adapter_on_a_tied_weight_leaves_the_other_layer_as_it_was() -> None:
    embedding, last = torch.nn.Embedding(3, 4), torch.nn.Linear(4, 3, bias=False)
    last.weight = embedding.weight
    model, ids = torch.nn.Sequential(embedding, Tuned(last)), torch.arange(3)[None]
    expected = model(ids).detach().numpy()
    prepared = prepare(ModelSource(model, (ids,), "tied"))
    (answer,) = run_eager(prepared.model, prepared.example, prepared.outputs).values()
    assert answer == pytest.approx(expected, abs=1e-6)


def test_an_adapter_that_a_mask_of_pruning_would_undo_is_refused() -> None:
    layer = torch.nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", 0.5)
    with pytest.raises(UnsupportedModel) as caught:
        prepare(ModelSource(torch.nn.Sequential(Tuned(layer)), (X,), "masked"))
    assert "with its adapters merged the model answers otherwise than before" in caught.value.message
    assert "prune.remove" in caught.value.hint


def test_an_adapter_that_cannot_be_merged_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Tuned) -> torch.nn.Module:
        raise ValueError("which is required to re-quantize the base layer")

    monkeypatch.setattr(Tuned, "merge_and_unload", fail)
    with pytest.raises(UnsupportedModel) as caught:
        prepare(ModelSource(Tuned(torch.nn.Linear(4, 3)), (X,), "packed"))
    assert "the adapters could not be merged: ValueError: which is required" in caught.value.message
    assert "merge_and_unload() by itself" in caught.value.hint


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("wrap", "where"), [(lambda layer: layer, "it"), (torch.nn.Sequential, "its layer '0'")], ids=["whole", "in part"]
)
def test_torchscript_is_refused(wrap, where: str) -> None:  # type: ignore[no-untyped-def]
    traced = torch.jit.trace(torch.nn.Linear(4, 2), X)
    with pytest.raises(UnsupportedModel) as caught:
        prepare(ModelSource(wrap(traced), (X,), "tiny"))
    assert f"the model is TorchScript, as {where} was scripted or traced" in caught.value.message
    assert "the torch.nn.Module that it was made of" in caught.value.hint


def test_a_model_that_still_rounds_as_in_training_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.ao.quantization.FakeQuantize())
    with pytest.raises(UnsupportedModel) as caught:
        prepare(ModelSource(model, (X,), "tiny"))
    assert "was never converted: its layer '1' is a FakeQuantize" in caught.value.message
    assert "convert_pt2e(model)" in caught.value.hint
