"""The process table, as far as the stand-in needs it (Linux: /proc)."""

from collections import defaultdict
from pathlib import Path


def find_descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`, children before grandchildren."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (comm) state ppid …: comm can hold spaces and brackets, so the fields are read behind the last
            # bracket.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended between the listing and the reading, and so is nobody's descendant
            continue
        children[int(fields[1])].append(int(stat.parent.name))
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in children[parent]]
        found.extend(level)
    return found
