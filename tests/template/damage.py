"""Damage on purpose: a rule is only worth its name if it complains about a document that breaks it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Rule = Callable[[Any], Iterable[str]]
GONE = object()  # the value of a place that is taken out


@dataclass(frozen=True)
class Damage:
    """One change to a document, and the rule that must see it.

    `path` names the place, with `/` between keys and indexes. `value` is put there; a function makes it of what was there.
    """

    rule: Rule
    path: str
    value: Any = GONE

    def __str__(self) -> str:
        return f"{getattr(self.rule, '__name__', self.rule)}:{self.path}"

    def apply(self, document: Any) -> Any:
        """A damaged copy. Raises KeyError or IndexError for a place that is not there, AssertionError where nothing changes.

        It shares with the original what is not on the way to the damage: rules only read.
        """
        return self._replaced(document, self.path.split("/"))

    def _replaced(self, node: Any, way: list[str]) -> Any:
        key, *rest = way
        copied: Any = [*node] if isinstance(node, list) else {**node}
        place: Any = int(key) if isinstance(node, list) else key
        if rest:
            copied[place] = self._replaced(node[place], rest)
        elif self.value is GONE:
            del copied[place]
        elif callable(self.value):
            copied[place] = self.value(node[place])
        else:
            copied[place] = self.value
        assert copied != node, f"{self} changes nothing"
        return copied


def plus(extra: Any) -> Callable[[Any], Any]:
    """A list with one item more, or a mapping with more entries."""
    return lambda old: old | extra if isinstance(old, dict) else [*old, extra]
