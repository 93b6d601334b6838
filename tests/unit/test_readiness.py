"""Modules that cannot run as they come: without numbers, on other devices, with adapters beside their weights."""

from __future__ import annotations

import pytest
import torch

from ashore import ModelSource
from ashore.errors import UsageError
from ashore.sources.prepare import prepare, run_eager

X = torch.ones(1, 4)


class Adapted(torch.nn.Module):
    """Speaks like a model of PEFT: a base model, a low-rank addition, and a way to merge the two."""

    def __init__(self) -> None:
        super().__init__()
        self.base = torch.nn.Linear(4, 4)
        self.down = torch.nn.Linear(4, 1, bias=False)
        self.up = torch.nn.Linear(1, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(self.down(x))

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
