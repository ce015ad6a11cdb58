"""Exit heads: a stock checkpoint stays stock, and an exit answers as a shallower model with its own norm does."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from conventions.errors import TokenjouleError
from training.library_desk import batches, evaluate, exits, losses, shape, tasks, vocabulary
from training.library_desk.losses import Labels

WEIGHTS = Path(__file__).parents[2] / "serving" / "weights"
BATCH = batches.packed(vocabulary.build(), tasks.sample(5, 8), 1024)[0]


@pytest.fixture
def model() -> LlamaForCausalLM:
    """An expert whose blocks do something and whose exit's norm is not its last norm."""
    expert = shape.initialised("expert", seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weights in expert.parameters():
            weights.add_(0.05 * torch.randn(weights.shape, generator=generator))
    expert.train(False)
    return expert


def test_an_exit_gives_the_logits_of_a_model_that_ends_there(model: LlamaForCausalLM) -> None:
    by_depth, _ = losses.answer_logits_by_depth(model, BATCH)
    assert set(by_depth) == {2, 3, 6}
    for depth in (2, 3):
        alone, _ = losses.answer_logits(exits.cut(model, depth), BATCH)
        torch.testing.assert_close(by_depth[depth], alone, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(by_depth[depth], by_depth[6], atol=0.1)


def test_a_saved_exit_is_the_shared_head_behind_its_own_norm(model: LlamaForCausalLM, tmp_path: Path) -> None:
    """The file's contract, spelled out without the project's own reader."""
    shape.save(model, tmp_path)
    tensors = load_file(tmp_path / "exits" / "model.safetensors")
    assert sorted(tensors) == ["exits.2.norm.weight", "exits.3.norm.weight"]
    norm = tensors["exits.3.norm.weight"]
    assert (norm.shape, norm.dtype) == ((256,), torch.bfloat16)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = BATCH.ids[:1, :20]
    state = stock(ids, output_hidden_states=True).hidden_states[3]
    normed = state * torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + stock.config.rms_norm_eps) * norm.float()
    expected = normed @ stock.get_input_embeddings().weight.T
    torch.testing.assert_close(exits.cut(shape.load(tmp_path), 3)(ids).logits, expected, rtol=1e-4, atol=1e-4)


def test_the_stock_file_holds_nothing_of_the_exits(model: LlamaForCausalLM, tmp_path: Path) -> None:
    shape.save(model, tmp_path)
    stock, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["model.safetensors"]  # vLLM reads all of these
    assert shape.num_parameters(model) == sum(weights.numel() for weights in stock.parameters())


def test_a_model_without_exits_leaves_no_file_of_an_earlier_one(model: LlamaForCausalLM, tmp_path: Path) -> None:
    shape.save(model, tmp_path)
    shape.save(shape.initialised("scout", seed=1), tmp_path)
    assert not (tmp_path / exits.FILE).exists()


def test_the_exit_is_trained_and_so_are_the_layers_before_it(model: LlamaForCausalLM) -> None:
    plain, joint = (_gradients(model, Labels(exit_weight=weight)) for weight in (0.0, 0.5))
    for norm in ("exits.2.norm.weight", "exits.3.norm.weight"):
        assert float(plain[norm].abs().max()) == 0.0
        assert float(joint[norm].abs().max()) > 0.0
    early, late = "model.layers.0.mlp.up_proj.weight", "model.layers.5.mlp.up_proj.weight"
    assert not torch.allclose(plain[early], joint[early])
    torch.testing.assert_close(plain[late], joint[late])


def _gradients(model: LlamaForCausalLM, loss: Labels) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss(model, BATCH).backward()
    return {name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None}


def test_right_answers_are_counted_at_every_depth() -> None:
    shipped = shape.load(WEIGHTS / "expert")
    pairs = vocabulary.encode(vocabulary.build(), tasks.sample(6, 24, easy_share=0.3))
    right = losses.answered_right(shipped, batches.stacked([[[pair]] for pair in pairs]))
    assert not all(all(own.tolist()) for own in right.values()), "ask harder questions: nothing is wrong here"
    for depth, own in right.items():
        alone = shipped if depth == losses.full_depth(shipped) else exits.cut(shipped, depth)
        assert own.tolist() == [_greedily(alone, prompt, len(answer)) == answer for prompt, answer in pairs]


def _greedily(model: LlamaForCausalLM, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_an_exit_that_is_not_there_is_refused_with_the_choices(model: LlamaForCausalLM, tmp_path: Path) -> None:
    shape.save(model, tmp_path)
    with pytest.raises(TokenjouleError, match=r"no exit after 4 layers: choose from \[2, 3\]"):
        evaluate.evaluate(tmp_path, tasks.sample(1, 1), depth=4)
