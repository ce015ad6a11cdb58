"""``/v1/chat/completions``: ``chat.completion`` and ``chat.completion.chunk`` objects."""

from collections.abc import Sequence as SequenceOf

from serving.engine.api.answers import Envelope, Json, usage
from serving.engine.sampling import Sampled
from serving.engine.sequence import Delta, Sequence
from serving.engine.tokenizer import Tokenizer


class ChatWriter:
    """Spells one chat answer."""

    chunk_kind = "chat.completion.chunk"

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._greeted = False

    def whole(self, sequence: Sequence) -> Json:
        """The message with its finish reason and usage."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": sequence.answer},
            "logprobs": self._logprobs(sequence, sequence.output),
            "finish_reason": sequence.finish_reason,
        }
        return self._envelope.wrap("chat.completion", [choice], usage(sequence))

    def chunks(self, sequence: Sequence, delta: Delta) -> list[Json]:
        """The role before anything else, then text; the finish reason in the last one."""
        logprobs = self._logprobs(sequence, delta.tokens)
        reason = sequence.finish_reason if delta.outcome else None
        if not (delta.text or logprobs or reason):
            return []
        greeting = [] if self._greeted else [self._chunk({"role": "assistant", "content": ""}, None, None)]
        self._greeted = True
        return [*greeting, self._chunk({"content": delta.text}, logprobs, reason)]

    def _chunk(self, delta: Json, logprobs: Json | None, reason: str | None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._envelope.wrap(self.chunk_kind, [choice])

    def _logprobs(self, sequence: Sequence, tokens: SequenceOf[Sampled]) -> Json | None:
        if sequence.request.sampling.num_logprobs is None:
            return None
        return {"content": [_token(token, self._envelope.tokenizer) for token in tokens], "refusal": None}


def _token(token: Sampled, tokenizer: Tokenizer) -> Json:
    top = [_entry(one, logprob, tokenizer) for one, logprob in token.top]
    return {**_entry(token.id, token.logprob, tokenizer), "top_logprobs": top}


def _entry(token: int, logprob: float | None, tokenizer: Tokenizer) -> Json:
    return {"token": tokenizer.token_text(token), "logprob": logprob, "bytes": tokenizer.token_bytes(token)}
