"""From a body to a validated ``Request``: token ids, limits, sampling; everything unsupported is refused by name."""

from dataclasses import dataclass

from serving.engine.api import wire
from serving.engine.api.problems import context_too_long, invalid, unknown_model, unsupported
from serving.engine.api.wire import Body, ChatBody, ChatMessage, CompletionBody
from serving.engine.checkpoint import EXITS_FILE
from serving.engine.request import Request, Sampling
from serving.engine.tokenizer import TemplateError, Tokenizer

DEFAULT_COMPLETION_TOKENS = 16
"""OpenAI's default of the completions endpoint; chat takes what the context leaves."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Reads bodies for one served model."""

    model: str
    tokenizer: Tokenizer
    vocab_size: int
    max_model_len: int
    max_kv_tokens: int
    exit_threshold: float | None = None
    """Of requests that do not say."""
    has_exits: bool = False
    """Whether the model can be left early."""

    def chat(self, body: ChatBody, request_id: str) -> Request:
        """Raises ``Problem`` for what cannot be served."""
        self._check(body)
        _refuse_chat(body)
        messages = [{"role": one.role, "content": _text(one, index)} for index, one in enumerate(body.messages)]
        try:
            prompt = self.tokenizer.encode_chat(messages)
        except TemplateError as error:
            raise invalid(str(error), "messages") from None
        wanted = body.max_completion_tokens or body.max_tokens
        num_logprobs = (body.top_logprobs or 0) if body.logprobs else None
        return self._request(body, request_id, prompt, wanted, num_logprobs, "messages")

    def completion(self, body: CompletionBody, request_id: str) -> Request:
        """Raises ``Problem`` for what cannot be served."""
        self._check(body)
        _refuse_completion(body)
        prompt = self._prompt_ids(body.prompt)
        wanted = body.max_tokens or DEFAULT_COMPLETION_TOKENS
        return self._request(body, request_id, prompt, wanted, body.logprobs, "prompt")

    def _check(self, body: Body) -> None:
        if body.model is not None and body.model != self.model:
            raise unknown_model(body.model, self.model)
        if len(body.stops) > wire.MAX_STOPS:
            raise invalid(f"stop: at most {wire.MAX_STOPS} strings, got {len(body.stops)}", "stop")
        if body.n not in (None, 1):
            raise unsupported("n", "only 1 choice per request; send the request again for another")
        for name in ("frequency_penalty", "presence_penalty", "logit_bias"):
            if getattr(body, name):
                raise unsupported(name, "not supported by this engine")

    def _prompt_ids(self, prompt: str | list[object]) -> list[int]:
        """A text, token ids, or a list holding one of either."""
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
            prompt = prompt[0]
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt)
        ids = [token for token in prompt if isinstance(token, int) and 0 <= token < self.vocab_size]
        if len(ids) != len(prompt):
            raise invalid(f"prompt: one text or one list of token ids below {self.vocab_size} per request", "prompt")
        return ids

    def _request(
        self, body: Body, request_id: str, prompt: list[int], wanted: int | None, num_logprobs: int | None, param: str
    ) -> Request:
        return Request(
            id=request_id,
            prompt=tuple(prompt),
            max_tokens=self._max_tokens(len(prompt), wanted, param),
            sampling=Sampling(
                temperature=1.0 if body.temperature is None else body.temperature,
                top_p=1.0 if body.top_p is None else body.top_p,
                seed=body.seed,
                num_logprobs=num_logprobs,
            ),
            stop=body.stops,
            ignore_eos=body.ignore_eos,
            stream=body.stream,
            priority=body.priority,
            salt=body.cache_salt or "",
            semantic_reuse=body.semantic_reuse,
            exit_threshold=self._exit_threshold(body),
        )

    def _exit_threshold(self, body: Body) -> float | None:
        threshold = self.exit_threshold if body.early_exit is None else body.early_exit
        if threshold is None or threshold > 1:
            return None
        if not self.has_exits:
            raise unsupported("early_exit", f"the weights of {self.model} have no {EXITS_FILE}")
        return threshold

    def _max_tokens(self, num_prompt: int, wanted: int | None, param: str) -> int:
        limit = min(self.max_model_len, self.max_kv_tokens)
        if num_prompt == 0:
            raise invalid(f"{param}: nothing to continue, the prompt has no tokens", param)
        if num_prompt + (wanted or 1) > limit:
            raise context_too_long(num_prompt, wanted, limit, param)
        return wanted or limit - num_prompt


def _refuse_chat(body: ChatBody) -> None:
    if body.tools:
        raise unsupported("tools", "not supported by this engine")
    if body.response_format and body.response_format.get("type") != "text":
        raise unsupported("response_format", "only text")
    if body.top_logprobs and not body.logprobs:
        raise invalid("top_logprobs: set logprobs to true as well", "top_logprobs")


def _refuse_completion(body: CompletionBody) -> None:
    if body.echo:
        raise unsupported("echo", "not supported by this engine; the prompt is yours already")
    if body.suffix:
        raise unsupported("suffix", "not supported by this engine")
    if body.best_of not in (None, 1):
        raise unsupported("best_of", "only 1")


def _text(message: ChatMessage, index: int) -> str:
    """A message's text; parts are joined."""
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    other = next((part.type for part in message.content if part.type != "text"), None)
    if other is not None:
        raise unsupported(f"messages[{index}].content", f"parts of type {other!r}; only text")
    return "".join(part.text or "" for part in message.content)
