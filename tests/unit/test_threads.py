"""Threads of PyTorch where its numbers go into a file: as many each time, however busy the machine is."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ashore.sources.threads import on_threads, settled_threads  # noqa: E402


@pytest.mark.parametrize(("weights", "threads"), [(1_000_000, 1), (100_000_000, 2)])
def test_the_number_follows_from_the_size_of_the_model(weights: int, threads: int) -> None:
    with on_threads(2):
        with settled_threads(weights):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 2
