"""Every file of the registry is a variant that our engine and gateway understand."""

from pathlib import Path

import pytest

from conventions import settings
from conventions.errors import PluginError, SettingsError
from serving.engine.settings import EngineSettings
from serving.gateway.settings import GatewaySettings
from training.evaluation import variant

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "serving" / "weights"


@pytest.mark.parametrize("name", variant.names())
def test_a_variant_has_settings_that_engine_and_gateway_know(name: str) -> None:
    found = variant.load(name)
    for given in found.engine_settings(MODELS).values():
        assert settings.build(EngineSettings, given, name).weights.is_dir()
    if found.gateway:
        backends = [{"name": model, "url": "http://127.0.0.1:1", "model": model} for model in found.engines]
        values = {**found.gateway_settings(MODELS), "backends": backends}
        assert settings.build(GatewaySettings, values, name).policy
    assert found.against is None or found.against in variant.names()


def test_an_unknown_variant_is_answered_with_the_choices() -> None:
    with pytest.raises(PluginError, match="did you mean 'expert_int8'"):
        variant.load("expert_int9")


def test_a_file_of_ones_own_is_a_variant_too(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'title = "own"\nneeds = ["own/exits/model.safetensors"]\nremedy = "train exits"\n[engines.own]\nthreads = 2\n'
    )
    found = variant.load(str(own))
    assert found.engine_settings(tmp_path) == {"own": {"threads": 2, "weights": str(tmp_path / "own")}}
    assert found.missing(tmp_path) == f"no own/config.json in {tmp_path}; train exits"
    own.write_text('title = "own"\n[engines.a]\n[engines.b]\n')
    with pytest.raises(SettingsError, match="nobody would choose"):
        variant.load(str(own))


def test_weights_in_memory_follow_precision_and_drafting() -> None:
    """fp32 is twice the bf16 file's tensors; int8 keeps only embeddings and norms wide."""
    wide, half, eight = (variant.load(name).weight_bytes(MODELS) for name in ("expert", "expert_bf16", "expert_int8"))
    assert wide == 2 * half
    assert wide / 4 < eight < half
    assert half == pytest.approx(variant.file_bytes(MODELS / "expert"), rel=0.01)
    assert variant.load("expert_drafted").weight_bytes(MODELS) == wide + variant.load("scout").weight_bytes(MODELS)


def test_placeholders_are_filled_in_all_the_way_down(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('title = "own"\n[engines.own]\n[gateway.routing.some]\nfiles = {scout = "{models}/x"}\n')
    assert variant.load(str(own)).gateway_settings(tmp_path) == {
        "routing": {"some": {"files": {"scout": f"{tmp_path}/x"}}}
    }
