"""How often a batch that runs is looked at: often at first, then ever less."""

from collections.abc import Iterator

_SHORTEST, _LONGEST = 0.5, 15.0  # seconds
_SHARE = 0.05  # of the time that was waited so far


def growing_pauses() -> Iterator[float]:
    """Seconds to wait before the next look, without end: half a second at first, growing with all that was waited."""
    waited = 0.0
    while True:
        pause = min(_LONGEST, max(_SHORTEST, waited * _SHARE))
        waited += pause
        yield pause
