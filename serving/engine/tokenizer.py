"""The checkpoint's tokenizer and chat template, without transformers.

The template runs in Jinja's immutable sandbox, with the variables and functions transformers gives it: it comes with
the weights and is not ours.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as FastTokenizer

from conventions.errors import ModelNotSupported, TokenjouleError

Message = Mapping[str, Any]


class TemplateError(TokenjouleError):
    """The messages do not fit the checkpoint's chat template, or it has none."""


class Tokenizer:
    """Text to token ids and back."""

    def __init__(self, fast: FastTokenizer, template: str | None, special: Mapping[str, str]) -> None:
        self._fast = fast
        self._template = _environment().from_string(template) if template else None
        self._special = dict(special)
        self._byte_of = _byte_alphabet() if _is_byte_level(fast) else None

    @classmethod
    def from_folder(cls, folder: Path) -> "Tokenizer":
        """Raises ``ModelNotSupported`` when there is no tokenizer.json."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelNotSupported(f"{folder}: no tokenizer.json; save the fast tokenizer with the model")
        config_path, template_path = folder / "tokenizer_config.json", folder / "chat_template.jinja"
        config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        template = template_path.read_text(encoding="utf-8") if template_path.is_file() else config.get("chat_template")
        return cls(FastTokenizer.from_file(str(path)), _default_template(template), _special_tokens(config))

    @property
    def vocab_size(self) -> int:
        """Ids that have text, added tokens included."""
        return int(self._fast.get_vocab_size())

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text."""
        ids: list[int] = self._fast.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation up to the point where the assistant answers.

        Raises ``TemplateError`` with the template's own words.
        """
        if self._template is None:
            raise TemplateError("this model has no chat template: use /v1/completions")
        try:
            text = self._template.render(messages=list(messages), add_generation_prompt=True, **self._special)
        except jinja2.TemplateError as error:
            raise TemplateError(f"the chat template refuses these messages: {error}") from None
        return self.encode(text, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out; incomplete characters show as U+FFFD."""
        text: str = self._fast.decode(ids, skip_special_tokens=True)
        return text

    def token_text(self, token: int) -> str:
        """One token alone, special ones shown."""
        text: str = self._fast.decode([token], skip_special_tokens=False)
        return text

    def token_bytes(self, token: int) -> list[int]:
        """The bytes of one token: exact for byte-level vocabularies, else those of its text."""
        piece = self._fast.id_to_token(token) or ""
        if self._byte_of and all(character in self._byte_of for character in piece):
            return [self._byte_of[character] for character in piece]
        return list(self.token_text(token).encode())


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    """Jinja's own filter escapes HTML, which chat templates do not expect."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.datetime.now().strftime(layout)


def _default_template(template: Any) -> str | None:
    """Some folders hold a list of named templates; the one named default is for plain chat."""
    if isinstance(template, list):
        return next((one["template"] for one in template if one.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """``bos_token`` and the like for the template; each is a string or an object with ``content``."""
    found = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = config.get(name)
        if isinstance(value, Mapping):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


def _is_byte_level(fast: FastTokenizer) -> bool:
    decoder = json.loads(fast.to_str()).get("decoder") or {}
    kinds = [decoder.get("type")] + [one.get("type") for one in decoder.get("decoders", [])]
    return "ByteLevel" in kinds


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, inverted."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
