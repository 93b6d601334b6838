"""What repairs find in a model, and that the model stays the same for them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from ashore_converters.repairs.scaling import equalization, smoothquant  # noqa: E402
from ashore_converters.repairs.structure import Structure, structure  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of its own deprecations


class RootMeanSquare(nn.Module):
    """A norm as language models write it out."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.2, 9, size))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6))


class Block(nn.Module):
    """Attention whose two heads share one of keys and values, and a gated perceptron."""

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before, self.after = nn.LayerNorm(size), RootMeanSquare(size)
        self.query, self.out = nn.Linear(size, size), nn.Linear(size, size)
        self.key, self.value = nn.Linear(size, size // 2), nn.Linear(size, size // 2)
        self.gate, self.up, self.down = nn.Linear(size, 24), nn.Linear(size, 24), nn.Linear(24, size)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        y = self.after(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))

    def attention(self, x: Tensor) -> Tensor:
        batch, length, size = x.shape
        query = self.query(x).view(batch, length, 2, size // 2).transpose(1, 2)
        key, value = (part(x)[:, None].expand(-1, 2, -1, -1) for part in (self.key, self.value))
        mixed = (query @ key.transpose(-1, -2)).softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, length, size))


class Pictures(nn.Module):
    """Batch norms, a depthwise convolution, pools, and a linear layer behind flattened channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.second = nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 6, 1)
        self.last = nn.Linear(24, 4)
        for spread in (self.norm.weight, self.norm.bias, self.norm.running_mean):
            nn.init.normal_(spread)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.norm(self.first(x)).relu()).relu()
        x = nn.functional.leaky_relu(self.second(nn.functional.max_pool2d(x, 2)))
        return self.last(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


class Clipped(nn.Sequential):
    """What lies between these layers does not scale along, or goes to the model's output as well."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 1), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.GELU(), nn.Conv2d(8, 8, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = super().forward(x)
        return y, self[0](y[:, :3])


class Tied(nn.Module):
    """One matrix behind two norms, and a norm that the residual stream reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.read = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.first, self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.other(self.first(self.one(x)).sigmoid())).sigmoid()
        y = self.read(x)
        return y + self.third(y)


def pairs(found: Structure) -> dict[str, list[str]]:
    return {pair.divided[0]: [reader.name for reader in pair.readers] for pair in found.pairs}


def test_norms_attention_and_gates_are_found_and_smoothing_changes_nothing_in_float() -> None:
    block, x = Block().eval(), torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2))
    found = structure(block, (x,))
    assert pairs(found) == {
        "before.weight": ["query.weight", "key.weight", "value.weight"],
        "value.weight": ["out.weight"],
        "after.weight": ["gate.weight", "up.weight"],
        "up.weight": ["down.weight"],
    }
    before, weight = block(x), block.after.weight.clone()
    assert smoothquant(block, found.pairs, [(x,)]) == 4 and equalization(block, found.pairs) == 0
    assert not torch.allclose(block.after.weight, weight)
    torch.testing.assert_close(block(x), before)


def test_convolutions_are_found_and_equalizing_changes_nothing_in_float() -> None:
    net, x = Pictures().eval(), torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    found = structure(net, (x,))
    assert pairs(found) == {
        "norm.weight": ["depthwise.weight"],
        "depthwise.weight": ["second.weight"],
        "second.weight": ["last.weight"],
    }
    assert {shift.weight: shift.tensor for shift in found.shifts}["first.weight"] == "norm.running_mean"
    before, weight = net(x), net.second.weight.clone()
    assert equalization(net, found.pairs) == 3 and smoothquant(net, found.pairs, [(x,)]) == 0
    assert not torch.allclose(net.second.weight, weight)
    torch.testing.assert_close(net(x), before)


def test_equalized_rows_and_columns_have_the_same_range() -> None:
    net = nn.Sequential(nn.Linear(6, 10, bias=False), nn.ReLU(), nn.Linear(10, 4)).eval()
    with torch.no_grad():
        net[0].weight.mul_(torch.logspace(-2, 2, 10)[:, None])
    equalization(net, structure(net, (torch.randn(1, 6),)).pairs)
    torch.testing.assert_close(net[0].weight.abs().amax(1), net[2].weight.abs().amax(0))


def test_nothing_is_found_where_a_factor_would_not_come_through() -> None:
    assert structure(Clipped().eval(), (torch.randn(1, 3, 4, 4),)).pairs == ()


def test_tied_weights_and_norms_with_other_readers_are_left_alone() -> None:
    found = structure(Tied().eval(), (torch.randn(1, 8),))
    assert found.pairs == () and [shift.weight for shift in found.shifts] == ["third.weight"]


def test_captured_programs_are_searched_like_modules() -> None:
    x = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    net = torch.export.export(Pictures().eval(), (x,), strict=False).module(check_guards=False).requires_grad_(False)
    found, before = structure(net, (x,)), net(x)
    assert len(found.pairs) == 3 and equalization(net, found.pairs) == 3
    torch.testing.assert_close(net(x), before)
