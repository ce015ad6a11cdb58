"""The tokenizer both models share: whole words where the desk uses them, bytes for everything else.

A byte-level alphabet makes any UTF-8 text encodable and every decoding exact. On top of it the desk's own
words are single tokens (no merges in between, so 512 entries hold all of them): a prompt has a third of its
bytes' length, and training and serving cost a third.
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from training.library_desk import tasks
from training.library_desk.exercise import MAX_ANSWER_TOKENS, SYSTEM_PROMPT, Exercise, Turn

Pair = tuple[list[int], list[int]]
"""Prompt ids and answer ids."""

SIZE: Final = 512
MAX_POSITIONS: Final = 2048
PAD, BOS, END, SYSTEM, USER, ASSISTANT = SPECIAL = (
    "<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>",
)  # fmt: skip
PAD_ID, BOS_ID, END_ID = 0, 1, 2
CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_WORDS: Final = Regex(r" ?[A-Za-z]+| ?\d|[^A-Za-z\d]")
_WORDS_FILE: Final = Path(__file__).with_name("words.json")
"""Written once by ``counted_words`` and then fixed: shipped weights read token ids, so a word never moves."""
_CORPUS_SIZE: Final = 16_000
_MIN_COUNT: Final = 10
"""A call number of random letters stays below this, a word of the desk does not."""


def build() -> Tokenizer:
    """The tokenizer, the same on every call."""
    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words: list[str] = json.loads(_WORDS_FILE.read_text(encoding="utf-8"))
    # Reserved entries keep the models' shapes when a later task family brings words of its own.
    reserved = [f"<|reserved_{index}|>" for index in range(SIZE - len(pieces) - len(words))]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, *words, *reserved])}
    # ignore_merges: a word of the vocabulary is taken whole; any other falls to its bytes, there being no merges.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*SPECIAL, *reserved])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, BOS_ID)]
    )
    return tokenizer


def save(folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` with the chat template, as transformers reads them."""
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=build(), pad_token=PAD, bos_token=BOS, eos_token=END, padding_side="left",
        model_max_length=MAX_POSITIONS, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder, save_jinja_files=False)


def prompt_text(exercise: Exercise) -> str:
    """The chat template's text up to the answer; spelled out here because Jinja is too slow for a training loop."""
    turns = "".join(f"<|{message['role']}|>{message['content']}{END}" for message in exercise.prompt)
    return f"{BOS}{turns}{ASSISTANT}"


def encode(tokenizer: Tokenizer, exercises: Iterable[Exercise]) -> list[Pair]:
    """Prompt ids and answer ids (with the end token) of each exercise, follow-ups left out."""
    listed = list(exercises)
    asked = [(prompt_text(exercise), exercise.answer) for exercise in listed]
    return _encode_turns(tokenizer, asked)


def encode_conversations(tokenizer: Tokenizer, exercises: Iterable[Exercise]) -> list[list[Pair]]:
    """Like ``encode``, every exercise with its follow-ups: one pair for each turn."""
    conversations = [_turns(exercise) for exercise in exercises]
    pairs = iter(_encode_turns(tokenizer, list(itertools.chain.from_iterable(conversations))))
    return [list(itertools.islice(pairs, len(turns))) for turns in conversations]


def _turns(exercise: Exercise) -> list[Turn]:
    """Template text up to each answer, and the answer."""
    followups = [(f"{USER}{question}{END}{ASSISTANT}", answer) for question, answer in exercise.followups]
    return [(prompt_text(exercise), exercise.answer), *followups]


def _encode_turns(tokenizer: Tokenizer, turns: list[Turn]) -> list[Pair]:
    prompts = tokenizer.encode_batch([prompt for prompt, _ in turns], add_special_tokens=False)
    answers = tokenizer.encode_batch([answer + END for _, answer in turns], add_special_tokens=False)
    pairs = [(prompt.ids, answer.ids) for prompt, answer in zip(prompts, answers, strict=True)]
    assert all(len(answer) <= MAX_ANSWER_TOKENS for _, answer in pairs)
    return pairs


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(_WORDS, behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, to_bytes])


def counted_words() -> list[str]:
    """Words of the desk, most frequent first: what ``words.json`` is made from when the tasks get new words."""
    splitter = _pre_tokenizer()
    counts = Counter(piece for text in _corpus() for piece, _ in splitter.pre_tokenize_str(text) if len(piece) > 1)
    frequent = [word for word, count in counts.items() if count >= _MIN_COUNT]
    return sorted(frequent, key=lambda word: (-counts[word], word))


def _corpus() -> list[str]:
    """Questions and answers in equal shares of easy and hard, a fixed sample of the training split."""
    drawn = tasks.mixture(random.Random("vocabulary"), _CORPUS_SIZE, tasks.traffic_mix(0.5), "train")
    return [SYSTEM_PROMPT] * _MIN_COUNT + [*itertools.chain.from_iterable((one.question, one.answer) for one in drawn)]
