"""The points at which a function can be killed: before and after each of its external calls."""

import random
from collections.abc import Callable, Iterable, Sequence

from fakes.wire import Wire

Point = tuple[int, str]  # the index of a call, "before" or "after"
SEED = 20_260_921


def find_points(calls: Sequence[str], is_meant: Callable[[str], bool] = lambda _: True) -> list[Point]:
    """Both points of all calls, or of those that are meant."""
    return [(number, when) for number, call in enumerate(calls) if is_meant(call) for when in ("before", "after")]


def choose_points(points: Sequence[Point], most: int, always: Iterable[Point] = ()) -> list[Point]:
    """Those that are `always` tried, and of the others a sample, up to `most` in all."""
    chosen = list(always)
    rest = [point for point in points if point not in chosen]
    chosen += random.Random(SEED).sample(rest, min(len(rest), max(0, most - len(chosen))))  # noqa: S311 - a sample, no secret
    print(f"{len(chosen)} of {len(points)} points, seed {SEED}")
    return sorted(chosen)


def try_points(calls: Sequence[str], points: Sequence[Point], run: Callable[[Point], Wire]) -> None:
    """Let `run` play each point, and check what came of it; AssertionError names all those that were not survived.

    `calls` are those of a run in which nobody was killed.
    """
    broken: list[str] = []
    for point in points:
        try:
            assert run(point).killed, "nothing was killed"
        except Exception as error:
            broken.append(f"killed {point[1]} {calls[point[0]]} ({point[0]}): {type(error).__name__} {error}"[:400])
    assert not broken, f"{len(broken)} of {len(points)} points:\n" + "\n".join(broken)
