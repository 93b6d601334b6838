"""Adapters of PEFT itself, merged: the file answers as the adapted model does, and is as large as without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

import ashore  # noqa: E402
from ashore import ModelSource, UsageError  # noqa: E402
from ashore.sources import load_source  # noqa: E402
from ashore.sources.eager import run_eager  # noqa: E402
from ashore.sources.prepare import PreparedSource, prepare  # noqa: E402

# What peft and transformers warn of by themselves is not ashore's to repair.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

IDS = torch.arange(12)[None]
CALL = {"input_ids": IDS, "use_cache": False}
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
PLAIN: dict[str, Any] = {"target_modules": ["q_proj", "down_proj"]}
KINDS: dict[str, dict[str, Any]] = {
    "lora": PLAIN,
    "dora": {**PLAIN, "use_dora": True},
    "modules to save": {**PLAIN, "modules_to_save": ["lm_head"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
}


def base() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SIZES, vocab_size=50, max_position_embeddings=24)
    model = transformers.LlamaForCausalLM(config)
    model.set_attn_implementation("eager")
    return model.eval()


def adapted(options: dict[str, Any], model: Any = None) -> Any:
    config = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", lora_dropout=0.1, **options)
    model = peft.get_peft_model(model or base(), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


def answer(prepared: PreparedSource) -> Any:
    return run_eager(prepared.model, prepared.example, prepared.outputs)["logits"]


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_an_adapter_is_merged(options: dict[str, Any]) -> None:
    model = adapted(options)
    with torch.no_grad():
        expected, plain = model(**CALL).logits.numpy(), base()(**CALL).logits.numpy()
    prepared = prepare(ModelSource(model, CALL, "tiny"))
    assert answer(prepared) == pytest.approx(expected, abs=1e-4)
    assert expected != pytest.approx(plain, abs=1e-2), "else the adapter proves nothing"
    assert prepared.record.parameters == sum(weight.numel() for weight in base().parameters())
    assert [name for name, _ in model.named_parameters() if "lora_" in name], "the user's model stays adapted"


def test_an_adapter_beside_halves_is_merged_in_float32() -> None:
    model = adapted(PLAIN, base().to(torch.bfloat16))
    prepared = prepare(ModelSource(model, CALL, "tiny"))
    assert {weight.dtype for weight in prepared.model.parameters()} == {torch.float32}
    with torch.no_grad():
        expected = model.float()(**CALL).logits.numpy()
    assert answer(prepared) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("backend", ["executorch", "litert"])
def test_a_file_is_as_large_as_without_the_adapter(backend: str, tmp_path: Path) -> None:
    sources = [ModelSource(model, CALL, "tiny") for model in (base(), adapted(PLAIN))]
    files = [ashore.convert(each, to=[backend], output=tmp_path / str(i))[0] for i, each in enumerate(sources)]
    plain, merged = (file.manifest for file in files)
    assert plain is not None and merged is not None
    assert merged.file.bytes == plain.file.bytes
    assert merged.delegation.total == plain.delegation.total


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = base()
    model.save_pretrained(tmp_path / "base")
    found = adapted(PLAIN, transformers.LlamaForCausalLM.from_pretrained(tmp_path / "base"))
    found.save_pretrained(tmp_path / "tuned")
    return tmp_path / "tuned"


def test_a_folder_of_an_adapter_is_loaded_with_its_base(folder: Path) -> None:
    prepared = prepare(load_source(f"hf:{folder}"))
    assert prepared.source.name == "tuned" and len(prepared.example["input_ids"][0]) == 24
    model = adapted(PLAIN)
    with torch.no_grad():
        expected = model(input_ids=torch.from_numpy(prepared.example["input_ids"]), use_cache=False).logits.numpy()
    assert answer(prepared) == pytest.approx(expected, abs=1e-4)


def test_a_base_beside_the_adapter_is_found(folder: Path) -> None:
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "../base"}))
    assert load_source(f"hf:{folder}").name == "tuned"


def test_an_adapter_of_another_model_is_refused(folder: Path) -> None:
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "target_modules": ["query"]}))
    with pytest.raises(UsageError, match=r"tuned does not fit its base model: .*: Target modules") as caught:
        load_source(f"hf:{folder}")
    assert "PeftModel.from_pretrained(base_model, folder)" in caught.value.hint


def test_an_adapter_that_lacks_weights_is_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    kept = {name: weight for name, weight in load_file(path).items() if "q_proj" in name}
    save_file(kept, path)
    with pytest.raises(UsageError, match=r"tuned is not complete: Found missing adapter keys .*down_proj"):
        load_source(f"hf:{folder}")
