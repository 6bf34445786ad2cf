"""Vocabularies of models, as far as the package `splintr-rs` brings them along: nothing is fetched."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from slacktide.models import Model
from slacktide.prompts import Vocabulary

_TOKEN_BYTES = 4  # of a token's id in what `encode_flat` answers


@dataclass(frozen=True, slots=True)
class SplintrVocabulary:
    """A vocabulary of splintr."""

    tokenizer: Any

    def count(self, texts: list[str]) -> int:
        """How many tokens all texts have together, each by itself."""
        return sum(len(self.tokenizer.encode_flat(text)) for text in texts) // _TOKEN_BYTES


def find_vocabulary(model: Model) -> Vocabulary | None:
    """The vocabulary that a model's row names; None where splintr is not installed, or does not have it."""
    return None if model.tokenizer is None else _load(model.tokenizer.vocabulary)


@cache
def _load(name: str) -> Vocabulary | None:
    try:
        from splintr import Tokenizer  # noqa: PLC0415 - optional: without it prompts are bounded
    except ImportError:
        return None
    try:
        return SplintrVocabulary(Tokenizer.from_pretrained(name))
    except ValueError:  # a row of one's own can name any
        return None
