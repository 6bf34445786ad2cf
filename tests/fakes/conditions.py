"""Conditions of DynamoDB as texts, as boto3 builds them: with placeholders, and every AND and OR in parentheses."""

import re
from typing import Any

_WORD = re.compile(r"\s*(\(|\)|,|<=|<|=|[#:\w]+)")
_MISSING = object()


def holds_text(text: str, item: dict[str, Any], names: dict[str, str], values: dict[str, Any]) -> bool:
    """Whether a condition holds for an item."""
    reader = _Reader(_WORD.findall(text), item, names, values)
    truth = reader.condition()
    assert not reader.words, f"left over of {text}: {reader.words}"
    return truth


class _Reader:
    """Reads a condition from left to right, and says whether it holds."""

    def __init__(self, words: list[str], item: dict[str, Any], names: dict[str, str], values: dict[str, Any]) -> None:
        self.words, self.item, self.names, self.values = words, item, names, values

    def condition(self) -> bool:
        word = self.words.pop(0)
        if word == "(":
            return self._group()
        if word == "NOT":
            return not self.condition()
        if word in {"attribute_exists", "attribute_not_exists"}:
            assert self.words.pop(0) == "("
            value = self._attribute(self.words.pop(0))
            assert self.words.pop(0) == ")"
            return (value is _MISSING) == (word == "attribute_not_exists")
        return self._comparison(self._attribute(word), self.words.pop(0))

    def _group(self) -> bool:
        truth = self.condition()
        while (word := self.words.pop(0)) != ")":
            other = self.condition()
            truth = {"AND": truth and other, "OR": truth or other}[word]
        return truth

    def _comparison(self, value: Any, operator: str) -> bool:
        if operator == "IN":
            assert self.words.pop(0) == "("
            others = []
            while (word := self.words.pop(0)) != ")":
                others += [self.values[word]] if word != "," else []
            return value in others
        other = self.values[self.words.pop(0)]
        if value is _MISSING:
            return False
        return {"=": value == other, "<": value < other, "<=": value <= other}[operator]

    def _attribute(self, word: str) -> Any:
        return self.item.get(self.names[word], _MISSING)
