"""What cannot be run is refused by name before anything is loaded; settings that cannot work do not start."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from conventions.errors import ModelNotSupported
from serving.engine import checkpoint, model
from serving.engine.settings import EngineSettings
from serving.engine.tokenizer import TemplateError, Tokenizer

CPU = torch.device("cpu")


@pytest.fixture
def folder(weights: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(weights, tmp_path / "model"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def load(folder: Path) -> model.Model:
    return model.load(checkpoint.open_folder(folder), 64, torch.float32, CPU)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel is not supported: choose from LlamaForCausalLM"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_type 'yarn'"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq quantisation"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"architectures": ["Qwen3MoeForCausalLM"]}, "Qwen3MoeForCausalLM is not supported"),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 32}, "set max_model_len to 32 or less"),
        ({"rope_parameters": {"rope_type": "longrope", "factor": 4.0}}, "rope_type 'longrope'"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.75}}, "partial_rotary_factor 0.75"),
    ],
)
def test_an_unsupported_feature_is_named(folder: Path, changes: dict[str, Any], named: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelNotSupported) as caught:
        load(folder)
    assert named in str(caught.value)


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelNotSupported, match=r"no tokenizer\.json"):
        Tokenizer.from_folder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotSupported, match=r"model\.safetensors is missing"):
        load(folder)
    with pytest.raises(ModelNotSupported, match=r"no config\.json"):
        load(folder / "nowhere")


def test_a_sharded_checkpoint_is_read_and_a_missing_weight_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, inside in shards.items():
        save_file({name: tensors[name] for name in inside}, folder / file)
    index = {"weight_map": {name: file for file, inside in shards.items() for name in inside}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load(folder).vocab_size == 270
    del tensors["model.norm.weight"]
    (folder / "model.safetensors.index.json").unlink()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelNotSupported, match=r"model\.norm\.weight"):
        load(folder)


def test_weights_are_bf16_on_disk_and_fp32_on_cpu(weights: Path) -> None:
    assert load_file(weights / "model.safetensors")["model.norm.weight"].dtype == torch.bfloat16
    assert checkpoint.resolve_dtype("auto", CPU) == torch.float32
    assert checkpoint.resolve_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_a_model_without_template_and_a_template_that_refuses(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "chat_template": "{{ raise_exception('user first') }}"}))
    with pytest.raises(TemplateError, match="user first"):
        Tokenizer.from_folder(folder).encode_chat([{"role": "system", "content": "x"}])
    del config["chat_template"]
    path.write_text(json.dumps(config))
    with pytest.raises(TemplateError, match="no chat template"):
        Tokenizer.from_folder(folder).encode_chat([])


def test_a_hostile_template_cannot_leave_the_sandbox(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"}))
    with pytest.raises(TemplateError, match="unsafe"):
        Tokenizer.from_folder(folder).encode_chat([])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs must be at least 1"),
        ({"max_num_batched_tokens": 8}, "at least max_num_seqs"),
        ({"dtype": "int4"}, "unknown dtype 'int4'"),
        ({"quantisation": "int3"}, "unknown quantisation 'int3'"),
    ],
)
def test_settings_that_cannot_work_are_refused(weights: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        EngineSettings(weights=weights, **changes)


def test_a_process_that_cannot_start_says_why_and_exits_with_2(weights: Path, tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text(f'[serving.engines.a]\nweights = "{weights}"\nport = 0\nbatching = "continous"\n')
    command = [sys.executable, "-m", "serving.engine", "--config", str(config), "--name", "a"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "did you mean 'continuous'?" in result.stderr
    assert "Traceback" not in result.stderr
