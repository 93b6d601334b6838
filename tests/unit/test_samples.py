"""Calibration and evaluation samples: every form that is taken, and every fault that is told."""

from __future__ import annotations

import time
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ashore import DynamicDim, ModelSource, Recipe, TensorSpec, UsageError
from ashore.sources import load_source
from ashore.sources.arrays import load_arrays, load_samples
from ashore.sources.prepare import prepare
from ashore.sources.samples import read_samples, similar_samples
from ashore.sources.spool import Spool
from ashore.types.precision import Precision
from conversions import rounded_relu

X = TensorSpec("x", (1, 4), "float32")
IDS = TensorSpec("ids", (1, 3), "int64")
ONE = np.ones((1, 4), np.float32)


def taken(samples: object, *inputs: TensorSpec) -> tuple:
    return read_samples(samples, inputs or (X,), purpose="calibration")


@pytest.mark.parametrize(
    "samples",
    [
        [ONE, ONE],
        [(ONE,), [ONE]],
        [{"x": ONE}, {"x": torch.ones(1, 4)}],
        np.ones((2, 1, 4), np.float32),
        torch.ones(2, 1, 4),
        lambda: (ONE for _ in range(2)),
        (ONE for _ in range(2)),
    ],
    ids=["arrays", "tuples", "by name", "stacked", "tensor", "function", "generator"],
)
def test_every_form_of_samples_reads_the_same(samples: object) -> None:
    found = taken(samples)
    assert len(found) == 2
    for sample in found:
        np.testing.assert_array_equal(sample["x"], ONE)


def test_several_inputs_come_in_order_or_by_name() -> None:
    ids = np.arange(3)[None]
    for sample in ((ONE, ids), {"ids": ids, "x": ONE}):
        (found,) = taken([sample], X, IDS)
        assert list(found) == ["x", "ids"]
        np.testing.assert_array_equal(found["ids"], ids)


def test_a_dynamic_size_may_differ_within_its_range() -> None:
    spec = TensorSpec("x", (8, 4), "float32", dynamic={0: DynamicDim("n", 1, 8)})
    assert len(taken([np.ones((1, 4), np.float32), np.ones((8, 4), np.float32)], spec)) == 2
    with pytest.raises(UsageError, match=r"sample 0: input 'x' has shape 9x4, the model takes 1\.\.8x4"):
        taken([np.ones((9, 4), np.float32)], spec)


def raises() -> list:
    raise KeyError("photo 3")


REFUSED = {
    "empty": ([], "the calibration set is empty", "32 to 200"),
    "another shape": ([ONE, np.ones((1, 5), np.float32)], "sample 1: input 'x' has shape 1x5, the model takes 1x4", ""),
    "no batch axis": ([ONE[0]], "input 'x' has shape 4, the model takes 1x4", "array[None]"),
    "another dtype": ([ONE.astype(np.float64)], "input 'x' is float64, the model takes float32", ".astype(np.float32)"),
    "NaN": ([ONE, ONE, ONE * np.nan], "calibration sample 2: input 'x' holds 4 NaN or infinite values of 4", "divides"),
    "infinite": ([ONE * np.inf], "input 'x' holds 4 NaN or infinite values of 4", "drop the sample"),
    "too many arrays": ([(ONE, ONE)], "sample 0 has 2 arrays, the model takes 1: x", "mapping"),
    "wrong name": ([{"image": ONE}], "sample 0 names image; the model takes x", "name every input once"),
    "objects": ([["a"]], "input 'x' is <U1, the model takes float32", "astype"),
    "a path": ("samples.npz", "the calibration set is a str, 'samples.npz'", "--calibration PATH"),
    "a mapping": ({"x": ONE}, "the calibration set is a dict", "list of samples"),
    "a number": (7, "the calibration set failed: TypeError: 'int' object is not iterable", "by itself"),
    "a function that raises": (
        raises, "the function that makes the calibration samples failed: KeyError: 'photo 3'", "by itself",
    ),
    "a function of nothing": (lambda: None, "the function that makes the calibration samples failed", "by itself"),
    "ragged": ([{"x": [[1.0], [1.0, 2.0]]}], "sample 0 is no array of numbers", "numpy"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_faulty_set_says_which_sample_and_how(fault: str) -> None:
    samples, message, hint = REFUSED[fault]
    with pytest.raises(UsageError) as caught:
        taken(samples)
    assert message in caught.value.message
    assert hint in caught.value.hint


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_file_holds_stacked_samples(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x=np.arange(12, dtype=np.float32).reshape(3, 1, 4), ids=np.ones((3, 1, 3)))
    found = load_samples(path)
    assert len(found) == 3
    np.testing.assert_array_equal(found[1]["x"], [[4, 5, 6, 7]])


def test_a_folder_holds_one_sample_a_file_in_order_of_names(tmp_path: Path) -> None:
    for index in (2, 0, 1):
        save(tmp_path / f"{index}.npz", x=np.full((1, 4), index, np.float32))
    assert [sample["x"][0, 0] for sample in load_samples(tmp_path)] == [0, 1, 2]


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the folder .* holds no \.npz file"):
        load_samples(tmp_path)


def test_arrays_that_disagree_on_the_number_of_samples_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x=np.ones((3, 4)), ids=np.ones((2, 4)))
    with pytest.raises(UsageError, match=r"disagree on the number of samples \(x: 3, ids: 2\)"):
        load_samples(path)


def test_an_array_without_an_axis_holds_no_samples(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds an array with no axis"):
        load_samples(save(tmp_path / "set.npz", x=np.float32(1)))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 cut short", b"not a zip at all", b"\x93NUMPY\x01\x00v\x00{'descr'"]
)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.npz").write_bytes(content)
    with pytest.raises(UsageError, match=r"in\.npz is not an \.npz") as caught:
        load_arrays(tmp_path / "in.npz")
    assert "numpy.savez" in caught.value.hint


def test_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(1000))
    data = bytearray(path.read_bytes())
    data[500:600] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"in\.npz is not a readable \.npz of plain arrays"):
        load_arrays(path)


def test_a_zip_of_other_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("photo.jpg", b"...")
    with pytest.raises(UsageError, match=r"in\.npz is not .*: it holds 'photo\.jpg', which is no array"):
        load_arrays(tmp_path / "in.npz")


def test_an_npz_without_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"in\.npz holds no array"):
        load_arrays(save(tmp_path / "in.npz"))


def test_an_npz_of_python_objects_is_refused_unread(tmp_path: Path) -> None:
    path = save(tmp_path / "in.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match=r"not a readable \.npz of plain arrays: Object arrays cannot be loaded"):
        load_arrays(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*none\.npz") as caught:
        load_arrays(tmp_path / "none.npz")
    assert "numpy.savez" in caught.value.hint


def source(**options: object) -> ModelSource:
    return ModelSource(Double(), (torch.ones(1, 4),), "tiny", **options)


class Double(torch.nn.Module):
    def forward(self, x):
        return x * 2


INT8 = Recipe(Precision.INT8)


def test_static_precision_without_samples_names_every_way_to_give_them() -> None:
    with pytest.raises(UsageError, match="int8 needs calibration samples and 'tiny' has none") as caught:
        prepare(source()).request(INT8)
    for way in ("--calibration PATH", "calibration=", "--calibration random", "--precision int8-dynamic"):
        assert way in caught.value.hint


def test_random_calibration_is_noise_like_the_example() -> None:
    prepared = prepare(source(calibration="random"))
    samples = prepared.request(INT8).calibration
    assert len(samples) == 32
    assert samples[0]["x"].shape == (1, 4)
    assert not np.array_equal(samples[0]["x"], samples[1]["x"])


def test_a_model_with_scales_of_its_own_is_not_calibrated() -> None:
    prepared = prepare(ModelSource(rounded_relu(), (torch.ones(1, 4),), "rounded"))
    assert prepared.request(INT8).calibration == ()


def test_a_quarter_of_the_calibration_set_is_held_back_when_nothing_else_judges() -> None:
    samples = [np.full((1, 4), index, np.float32) for index in range(8)]
    prepared = prepare(source(calibration=samples))
    assert [sample["x"][0, 0] for sample in prepared.request(INT8).calibration] == [0, 1, 2, 3, 4, 5]
    assert [sample["x"][0, 0] for sample in prepared.evaluation] == [6, 7]
    assert prepared.warnings == ()


def test_evaluation_samples_leave_the_whole_calibration_set_to_calibration() -> None:
    samples = [np.full((1, 4), index, np.float32) for index in range(8)]
    prepared = prepare(source(calibration=samples[:6], evaluation=samples[6:]))
    assert len(prepared.request(INT8).calibration) == 6
    assert len(prepared.evaluation) == 2


def test_the_recipe_bounds_the_calibration_set() -> None:
    prepared = prepare(source(calibration=[ONE] * 8, evaluation=[ONE]))
    assert len(prepared.request(Recipe(Precision.INT8, calibration_samples=3)).calibration) == 3


def test_one_sample_serves_both_and_the_manifest_says_so() -> None:
    prepared = prepare(source(calibration=[ONE]))
    assert len(prepared.request(INT8).calibration) == len(prepared.evaluation) == 1
    assert prepared.warnings == ("judged on the one calibration sample itself",)


def test_the_command_lines_calibration_is_a_path_or_the_word_random(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("import torch\nmodel = (torch.nn.Linear(4, 2), torch.ones(1, 4))\n")
    save(tmp_path / "set.npz", x=np.ones((2, 1, 4), np.float32))
    assert load_source(f"{path}:model", calibration="random").calibration == "random"
    assert len(load_source(f"{path}:model", calibration=str(tmp_path / "set.npz")).calibration) == 2
    with pytest.raises(UsageError, match=r"there is no calibration data at .*none\.npz") as caught:
        load_source(f"{path}:model", calibration=str(tmp_path / "none.npz"))
    assert "the word random" in caught.value.hint


def test_similar_samples_keep_range_and_dtype() -> None:
    example = {"x": np.random.default_rng(0).normal(5, 2, (1, 1000)).astype(np.float32), "ids": np.array([[7, 9]])}
    for sample in similar_samples(example, 3):
        assert sample["x"].dtype == np.float32
        assert abs(sample["x"].mean() - 5) < 0.5 and abs(sample["x"].std() - 2) < 0.5
        assert set(sample["ids"].ravel()) <= {7, 9}


def test_evaluation_samples_lie_on_disk_and_read_as_they_were_given() -> None:
    given = [{"x": np.full((2, 3), i, np.float32), "n": np.array(i), "none": np.zeros((0, 4), bool)} for i in range(3)]
    spool = Spool(iter(given))
    assert len(spool) == 3
    for again in (list(spool), [spool[i] for i in range(3)]):
        for before, after in zip(given, again, strict=True):
            for name, array in before.items():
                np.testing.assert_array_equal(after[name], array)
                assert after[name].dtype == array.dtype and after[name].shape == array.shape
    with pytest.raises(IndexError):
        spool[3]


def test_only_one_evaluation_sample_at_a_time_is_held() -> None:
    """A source that makes its samples one by one never has two of them at once."""
    made: list[weakref.ref[np.ndarray]] = []

    def samples() -> Iterator[np.ndarray]:
        for _ in range(4):
            assert sum(each() is not None for each in made) <= 1
            sample = np.zeros((1, 4), np.float32)
            made.append(weakref.ref(sample))
            yield sample

    source = ModelSource(torch.nn.Identity(), (torch.zeros(1, 4),), evaluation=samples)
    assert len(prepare(source).evaluation) == 4


class _Crowded(torch.nn.Module):
    """As on a machine whose cores are busy: more threads than one wait for one another."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.threads.append(torch.get_num_threads())
        time.sleep(1.5 if torch.get_num_threads() > 1 else 0.2)
        return x * 2


def test_threads_that_only_wait_are_tried_once_and_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        prepared = prepare(ModelSource(_Crowded(), (ONE,), evaluation=[ONE] * 4))
        asked = prepared.model.model.threads
        asked.clear()
        assert len(prepared.reference) == 4 and torch.get_num_threads() == 2
        first, *trials = asked
        assert first == 1 and trials == [1, 1, 2, *[1] * 3]
    finally:
        torch.set_num_threads(before)
