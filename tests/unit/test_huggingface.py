"""``hf:DIR``: folders of transformers, made here from random configurations."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")

from ashore import UsageError  # noqa: E402
from ashore.sources import load_source  # noqa: E402
from ashore.sources.prepare import PreparedSource, prepare  # noqa: E402

# What transformers itself warns of, on import and on use, is not ashore's to repair.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TEXT = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}
VISION = {k: TEXT[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
VISION |= {"image_size": 32, "patch_size": 8}


def bert() -> torch.nn.Module:
    return transformers.BertModel(transformers.BertConfig(**TEXT))


def classifier() -> torch.nn.Module:
    labels = {0: "sad", 1: "glad"}
    return transformers.BertForSequenceClassification(transformers.BertConfig(**TEXT, id2label=labels))


def llama() -> torch.nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT, use_cache=True))


def half_llama() -> torch.nn.Module:
    return llama().to(torch.bfloat16)


def vit() -> torch.nn.Module:
    return transformers.ViTForImageClassification(transformers.ViTConfig(**VISION, num_labels=3))


def wav2vec2() -> torch.nn.Module:
    small = {"conv_dim": (8,), "conv_stride": (160,), "conv_kernel": (400,), "num_conv_pos_embeddings": 4}
    groups = {"num_conv_pos_embedding_groups": 2}
    text = {k: v for k, v in TEXT.items() if k != "max_position_embeddings"}
    return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**text, **small, **groups))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Callable[[], torch.nn.Module]], Path]:
    def save(make: Callable[[], torch.nn.Module]) -> Path:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make().save_pretrained(tmp_path / make.__name__)
        return tmp_path / make.__name__

    return save


def prepared(folder: Path, **options: object) -> PreparedSource:
    return prepare(load_source(f"hf:{folder}", **options))


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (bert, {"input_ids": (1, 24), "attention_mask": (1, 24)}, {"last_hidden_state", "pooler_output"}),
        (classifier, {"input_ids": (1, 24), "attention_mask": (1, 24)}, {"logits"}),
        (llama, {"input_ids": (1, 24), "attention_mask": (1, 24)}, {"logits"}),
        (half_llama, {"input_ids": (1, 24), "attention_mask": (1, 24)}, {"logits"}),
        (vit, {"pixel_values": (1, 3, 32, 32)}, {"logits"}),
        (wav2vec2, {"input_values": (1, 16000)}, {"last_hidden_state", "extract_features"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_folder_loads_as_the_class_of_its_config(folder, make, inputs: dict, outputs: set) -> None:
    found = prepared(folder(make))
    assert {spec.name: spec.shape for spec in found.inputs} == inputs
    assert {spec.name for spec in found.outputs} == outputs
    assert all(spec.dtype == "float32" for spec in found.outputs)
    assert found.source.name == make.__name__
    assert len(found.reference) == len(found.evaluation)


def test_weights_are_the_saved_ones(folder) -> None:
    model = bert().eval()
    path = folder(lambda_named("same", model))
    found = prepared(path)
    ids = torch.from_numpy(found.example["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(found.model(ids, torch.ones_like(ids))[0], model(ids).last_hidden_state)


def lambda_named(name: str, model: torch.nn.Module) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        return model

    make.__name__ = name
    return make


def test_labels_and_layout_travel_along(folder) -> None:
    assert load_source(f"hf:{folder(classifier)}").labels == ("sad", "glad")
    source = load_source(f"hf:{folder(vit)}")
    assert source.labels is None, "LABEL_0, LABEL_1… are no names"
    assert source.layouts == {"pixel_values": "NCHW"}


def test_a_shape_replaces_the_length(folder) -> None:
    found = prepared(folder(bert), shapes=("input_ids=1x2..8:int64", "attention_mask=1x2..8:int64"))
    assert found.inputs[0].shape == (1, 8)
    assert found.inputs[0].dynamic[1].minimum == 2
    assert found.outputs[0].dynamic[1].maximum == 8


def edit_config(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def remove_folder(path: Path) -> None:
    shutil.rmtree(path)


def remove_config(path: Path) -> None:
    (path / "config.json").unlink()


def break_config(path: Path) -> None:
    (path / "config.json").write_text('{"architectures": [')


def list_config(path: Path) -> None:
    (path / "config.json").write_text("[1]")


def remove_weights(path: Path) -> None:
    (path / "model.safetensors").unlink()


def pickled_weights(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def cut_weights(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def unknown_architecture(path: Path) -> None:
    edit_config(path, architectures=["BertForMindReading"])


def no_architecture_class(path: Path) -> None:
    edit_config(path, architectures=["logging"])


def other_head(path: Path) -> None:
    edit_config(path, architectures=["BertForSequenceClassification"])


FAULTS = {
    remove_folder: ("there is no ", "ashore downloads nothing"),
    remove_config: ("config.json", "model.save_pretrained"),
    break_config: ("config.json is not readable JSON", "save the model again"),
    list_config: ("config.json holds no JSON object", "save the model again"),
    remove_weights: ("has a config but no *.safetensors weights", "pickle"),
    pickled_weights: ("has a config but no *.safetensors weights", "pickle"),
    cut_weights: ("could not be loaded as BertModel: ", "by itself"),
    unknown_architecture: ("has no architecture 'BertForMindReading'", "file.py:function"),
    no_architecture_class: ("has no architecture 'logging'", "file.py:function"),
    other_head: ("lack classifier.bias, classifier.weight, which BertForSequenceClassification needs", "architectures"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_folder_says_what_it_lacks(folder, fault: Callable[[Path], None]) -> None:
    path = folder(bert)
    fault(path)
    message, hint = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        load_source(f"hf:{path}")
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert hint in caught.value.hint


def test_code_in_the_folder_is_never_run(folder, tmp_path: Path) -> None:
    path, trap = folder(bert), tmp_path / "sprung"
    edit_config(path, architectures=None, model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"})
    (path / "own.py").write_text(f"open({str(trap)!r}, 'w').close()")
    with pytest.raises(UsageError, match="could not be loaded as AutoModel"):
        load_source(f"hf:{path}")
    assert not trap.exists()


@pytest.fixture
def adapter(tmp_path: Path, folder: Callable[[Callable[[], torch.nn.Module]], Path]) -> Path:
    """A folder as PEFT writes it."""
    made = tmp_path / "tuned"
    made.mkdir()
    settings = {"base_model_name_or_path": str(folder(llama)), "peft_type": "LORA"}
    (made / "adapter_config.json").write_text(json.dumps(settings))
    (made / "adapter_model.safetensors").touch()
    return made


def test_an_adapter_without_peft_is_told_with_two_ways_out(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match="tuned holds an adapter of PEFT, which cannot be imported") as caught:
        load_source(f"hf:{adapter}")
    assert caught.value.hint.startswith("pip install peft; or merge the adapter where it was trained")
    assert "merge_and_unload().save_pretrained(folder)" in caught.value.hint


def test_an_adapter_without_weights_is_told(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"has an adapter's config but no adapter_model\.safetensors"):
        load_source(f"hf:{adapter}")


def test_an_adapter_of_a_model_that_is_not_here_is_told(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/model"}))
    with pytest.raises(UsageError, match="is for the model 'someone/model', which is no folder here") as caught:
        load_source(f"hf:{adapter}")
    assert "ashore downloads nothing" in caught.value.hint and "base_model_name_or_path" in caught.value.hint
