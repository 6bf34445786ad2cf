"""Repeated custom_ids, found in 12 bytes a line: 64-bit hashes in 256 buckets, looked through at the end."""

from array import array
from collections.abc import Iterable

BUCKETS = 256
_MASK = (1 << 64) - 1


class CustomIds:
    """The hashes of the custom_ids of a file, by line."""

    def __init__(self) -> None:
        self._hashes = [array("Q") for _ in range(BUCKETS)]
        self._lines = [array("I") for _ in range(BUCKETS)]

    def add(self, custom_id: str, line: int) -> None:
        """Note the id of a line; lines come in order."""
        digest = hash(custom_id) & _MASK
        bucket = digest % BUCKETS
        self._hashes[bucket].append(digest)
        self._lines[bucket].append(line)

    def suspects(self) -> dict[int, int]:
        """Lines whose id has the hash of an earlier one, each with the first line of that hash, in line order."""
        found: dict[int, int] = {}
        for hashes, lines in zip(self._hashes, self._lines, strict=True):
            first: dict[int, int] = {}
            for digest, line in zip(hashes, lines, strict=True):
                earlier = first.setdefault(digest, line)
                if earlier != line:
                    found[line] = earlier
        return dict(sorted(found.items()))


def confirm(suspects: dict[int, int], custom_ids: Iterable[tuple[int, str | None]]) -> dict[int, int]:
    """Those of `suspects` whose ids really are equal, by one pass over the ids in line order: two ids can share a hash."""
    origins = set(suspects.values())
    seen: dict[str | None, int] = {}  # only ids whose hash came up more than once
    confirmed: dict[int, int] = {}
    for line, custom_id in custom_ids:
        if line in origins or line in suspects:
            first = seen.setdefault(custom_id, line)
            if first != line:
                confirmed[line] = first
    return confirmed
