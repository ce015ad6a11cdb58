"""The tokenizer: any text goes through it unharmed, and the desk's words are one token each."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.library_desk import tasks, vocabulary
from training.library_desk.holdings import MEMBERS, ROOMS, TITLES

TOKENIZER = vocabulary.build()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    vocabulary.save(folder)
    return AutoTokenizer.from_pretrained(folder)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(max_examples=200, deadline=None)
def test_any_text_survives_encoding_and_decoding(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


def test_the_vocabulary_has_the_size_the_models_are_built_for() -> None:
    assert TOKENIZER.get_vocab_size() == vocabulary.SIZE == 512


@pytest.mark.parametrize("name", [*ROOMS, *TITLES, *MEMBERS])
def test_a_name_inside_a_sentence_is_one_token(name: str) -> None:
    assert len(TOKENIZER.encode(f" {name}", add_special_tokens=False).ids) == 1


def test_two_builds_agree() -> None:
    assert vocabulary.build().get_vocab() == TOKENIZER.get_vocab()


def test_the_saved_chat_template_writes_what_training_saw(saved: PreTrainedTokenizerFast) -> None:
    for one in tasks.sample(3, 30):
        text = saved.apply_chat_template(one.prompt, add_generation_prompt=True, tokenize=False)
        assert text == vocabulary.prompt_text(one)
        [(prompt, _)] = vocabulary.encode(TOKENIZER, [one])
        assert saved(text, add_special_tokens=False)["input_ids"] == prompt


def test_plain_text_begins_with_the_bos_token(saved: PreTrainedTokenizerFast) -> None:
    assert saved("Is the archive open?")["input_ids"][0] == vocabulary.BOS_ID == saved.bos_token_id
