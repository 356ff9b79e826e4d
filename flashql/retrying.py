"""When to try again, and when no more: pure, of numbers alone. Which errors are tried again says errors.py."""

from __future__ import annotations

from dataclasses import dataclass

from flashql import errors

# 2.0 ** 32 times any base is beyond any cap; more would only overflow.
_MOST_STEPS = 32


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How failures of an origin's syncing are tried again: exponential pauses, partly left to chance, within a budget.

    The pause after the n-th failure in a row is `base_seconds * multiplier ** (n - 1)`, at most `cap_seconds`. The part
    `jitter` of it (0 to 1) is multiplied by a number that is uniform in [0, 1): a fixed part, so that a server that
    restarts is not hammered, and one left to chance, so that many clients do not come back at the same moment. A pause
    is never longer than `cap_seconds`.

    After `attempts` failures in a row, or when the next attempt would be later than `budget_seconds` after the first of
    them, no more is tried until somebody calls `sync()`; None is no limit.

    Raises `DefinitionError` for numbers that make no sense.
    """

    base_seconds: float = 0.25
    multiplier: float = 2.0
    cap_seconds: float = 30.0
    jitter: float = 0.5
    attempts: int | None = None
    budget_seconds: float | None = None

    def __post_init__(self) -> None:
        sound = self.base_seconds >= 0 and self.multiplier >= 1 and self.cap_seconds >= 0 and 0 <= self.jitter <= 1
        sound = sound and (self.attempts is None or self.attempts >= 1)
        if not (sound and (self.budget_seconds is None or self.budget_seconds >= 0)):
            raise errors.DefinitionError(
                f"no such retry policy: {self}",
                hint="Seconds are at least 0, multiplier and attempts at least 1, jitter is from 0 to 1.",
            )

    def delay_seconds(self, failures: int, chance: float) -> float:
        """The pause after so many failures in a row (from 1); `chance` is uniform in [0, 1).

        >>> [RetryPolicy(base_seconds=1, cap_seconds=5, jitter=0).delay_seconds(n, 0.9) for n in (1, 2, 3, 4, 1000)]
        [1.0, 2.0, 4.0, 5.0, 5.0]
        >>> policy = RetryPolicy()
        >>> policy.delay_seconds(1, 0.0), policy.delay_seconds(1, 1.0), policy.delay_seconds(100, 1.0)
        (0.125, 0.25, 30.0)
        """
        longest = min(self.cap_seconds, self.base_seconds * self.multiplier ** min(failures - 1, _MOST_STEPS))
        return longest * (1 - self.jitter) + longest * self.jitter * chance

    def allows(self, failures: int, passed_seconds: float) -> bool:
        """Whether another attempt may be made after so many failures in a row, so long after the first of them.

        >>> RetryPolicy(attempts=2).allows(1, 0.0), RetryPolicy(attempts=2).allows(2, 0.0)
        (True, False)
        """
        few = self.attempts is None or failures < self.attempts
        return few and (self.budget_seconds is None or passed_seconds <= self.budget_seconds)


class Failures:
    """Failures in a row, and what a policy says of the next attempt."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.count = 0
        self._policy = policy
        self._first_seconds = 0.0

    def add(self, now_seconds: float, chance: float) -> float | None:
        """One more: how long to wait before the next attempt; None when none is allowed.

        >>> failures = Failures(RetryPolicy(base_seconds=1, jitter=0, budget_seconds=4))
        >>> [failures.add(now, 0.5) for now in (10.0, 11.0, 13.0)]
        [1.0, 2.0, None]
        """
        if not self.count:
            self._first_seconds = now_seconds
        self.count += 1
        delay = self._policy.delay_seconds(self.count, chance)
        return delay if self._policy.allows(self.count, now_seconds + delay - self._first_seconds) else None

    def forget(self) -> None:
        """It has succeeded, or somebody asks anew: the next failure is the first."""
        self.count = 0

    def spent(self, error: errors.FlashQLError, now_seconds: float) -> errors.FlashQLError:
        """What to say instead of the last failure when no more attempt is allowed."""
        passed = now_seconds - self._first_seconds
        gave_up = errors.RetriesSpent(
            f"{error.message} (given up after {self.count} attempts in {passed:.3g} s)",
            hint=error.hint or "Mend that, then run db.sync.sync().",
        )
        gave_up.__cause__ = error
        return gave_up
