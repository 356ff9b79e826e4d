"""Whether a step follows by delta or is computed anew: by what either took lately. A pure policy, fed with times.

Following costs by how much moved, computing anew by how much there is. Which is less depends on data, query and
machine, so it is measured. A step follows by delta first, a few times unless that is dreadful, for the first times are
out of the ordinary. What computing it anew takes is known from when it was built. From
then on the cheaper way is taken, for batches of about the same size. What was dearer is tried again now and then, the
more rarely the dearer it was: that costs a few hundredths of the time at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Below this there is nothing to win: a statement takes about one.
_MATTERS_MS = 4.0
_TRIALS, _DREADFUL = 3, 4.0
_SHARE_FOR_TRYING = 0.03
_SMOOTHING = 0.3


@dataclass
class _Average:
    milliseconds: float | None = None
    batches_since: int = 0
    times: int = 0

    def add(self, milliseconds: float) -> None:
        before = self.milliseconds
        # A first time that was out of the ordinary (a cold cache) is soon forgotten.
        weight = _SMOOTHING if before is None or milliseconds > before else 1 - _SMOOTHING
        self.milliseconds = milliseconds if before is None else before + weight * (milliseconds - before)
        self.batches_since = 0
        self.times += 1


@dataclass
class Pace:
    """What following by delta, for each size of batch, and computing anew took lately."""

    built_milliseconds: float | None = None  # what computing anew took when there was nothing to compare with yet
    _anew: _Average = field(default_factory=_Average)
    _delta: dict[int, _Average] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.built_milliseconds is not None:
            self._anew.add(self.built_milliseconds)

    def better_anew(self, moved: int) -> bool:
        """Whether to compute anew after a batch that moved so many rows of what is read."""
        following, anew = self._delta.get(_size(moved), _Average()), self._anew.milliseconds
        delta = following.milliseconds
        if delta is None:
            nearest = min(self._delta, key=lambda size: abs(size - _size(moved)), default=None)
            known = None if nearest is None or nearest > _size(moved) else self._delta[nearest].milliseconds
            return known is not None and anew is not None and known > 2 * anew
        if anew is None or delta < _MATTERS_MS or (following.times < _TRIALS and delta < _DREADFUL * anew):
            return False
        if anew < delta:
            return not self._worth_trying(following, anew)
        return self._worth_trying(self._anew, delta)

    def took(self, moved: int, milliseconds: float, *, anew: bool) -> None:
        """Note what a batch took."""
        for average in (self._anew, *self._delta.values()):
            average.batches_since += 1
        (self._anew if anew else self._delta.setdefault(_size(moved), _Average())).add(milliseconds)

    def _worth_trying(self, other: _Average, now: float) -> bool:
        assert other.milliseconds is not None
        dearer = max(0.0, other.milliseconds - now)
        return dearer < other.batches_since * now * _SHARE_FOR_TRYING


def _size(moved: int) -> int:
    """Batches within a factor of four are of one size."""
    return moved.bit_length() // 2


@dataclass
class Measured:
    """What a step took since that was last written down."""

    batches: int = 0
    anew: int = 0
    rows: int = 0
    milliseconds: float = 0.0

    def add(self, *, anew: bool, rows: int, milliseconds: float) -> None:
        """One batch more."""
        self.batches += 1
        self.anew += anew
        self.rows += rows
        self.milliseconds += milliseconds

    def taken(self) -> tuple[int, int, int, float]:
        """All of it, which begins at nothing again."""
        found = self.batches, self.anew, self.rows, self.milliseconds
        self.batches, self.anew, self.rows, self.milliseconds = 0, 0, 0, 0.0
        return found
