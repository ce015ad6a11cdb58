"""``/v1/completions``: ``text_completion`` objects, whole and as chunks."""

from collections.abc import Sequence as SequenceOf

from serving.engine.api.answers import Envelope, Json, usage
from serving.engine.sampling import Sampled
from serving.engine.sequence import Delta, Sequence


class CompletionWriter:
    """Spells one completion."""

    chunk_kind = "text_completion"

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._offset = 0

    def whole(self, sequence: Sequence) -> Json:
        """The text with its finish reason and usage."""
        logprobs = self._logprobs(sequence, sequence.output)
        choice = _choice(sequence.answer, logprobs, sequence.finish_reason)
        return self._envelope.wrap(self.chunk_kind, [choice], usage(sequence))

    def chunks(self, sequence: Sequence, delta: Delta) -> list[Json]:
        """One object per piece of text; the finish reason in the last one."""
        logprobs = self._logprobs(sequence, delta.tokens)
        reason = sequence.finish_reason if delta.outcome else None
        if not (delta.text or logprobs or reason):
            return []
        return [self._envelope.wrap(self.chunk_kind, [_choice(delta.text, logprobs, reason)])]

    def _logprobs(self, sequence: Sequence, tokens: SequenceOf[Sampled]) -> Json | None:
        """Parallel lists, as this endpoint has always had them; offsets count characters of token texts."""
        if sequence.request.sampling.num_logprobs is None:
            return None
        text_of = self._envelope.tokenizer.token_text
        texts = [text_of(token.id) for token in tokens]
        return {
            "text_offset": [self._advance(text) for text in texts],
            "token_logprobs": [token.logprob for token in tokens],
            "tokens": texts,
            "top_logprobs": [{text_of(one): logprob for one, logprob in token.top} for token in tokens],
        }

    def _advance(self, text: str) -> int:
        before = self._offset
        self._offset += len(text)
        return before


def _choice(text: str, logprobs: Json | None, reason: str | None) -> Json:
    return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}
