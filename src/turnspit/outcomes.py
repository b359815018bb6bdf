"""What a task may raise to say how its attempt ends.

Anything else that a task raises follows its ``Retry`` policy.

>>> raise Snooze(300, reason="the printer is busy")
Traceback (most recent call last):
...
turnspit.outcomes.Snooze: the printer is busy
"""

from turnspit.clock import Duration, to_duration

__all__ = ["Cancel", "GiveUp", "Outcome", "RateLimited", "RetryAfter", "Snooze"]


class Outcome(Exception):
    """The root of the outcomes that a task raises."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Snooze(Outcome):
    """Run this job again after ``delay`` (seconds or ``timedelta``); costs no attempt.

    :param reason: why, for people: kept with the job.

    ::

        if not printer.is_ready():
            raise Snooze(300, reason="the printer is busy")
    """

    def __init__(self, delay: Duration, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = to_duration(delay, "Snooze(delay)")


class RateLimited(Snooze):
    """Somebody said "too many": run this job again after ``delay`` (seconds or ``timedelta``); costs no attempt. Until
    then no job with the same key of its task's or queue's ``Rate`` begins, in any worker.

    A job without a rate is put off alone, as by ``Snooze``.

    ::

        if response.status_code == 429:
            raise RateLimited(float(response.headers["Retry-After"]))
    """


class RetryAfter(Outcome):
    """This attempt failed; try again after ``delay`` (seconds or ``timedelta``), whatever the policy's own delay.

    The attempt counts: a job out of attempts is dead.

    ::

        raise RetryAfter(60, reason="the partner restarts at night")
    """

    def __init__(self, delay: Duration, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = to_duration(delay, "RetryAfter(delay)")


class Cancel(Outcome):
    """This job need not be done any more: it ends as ``cancelled``.

    ::

        if order.was_withdrawn:
            raise Cancel("the order was withdrawn")
    """


class GiveUp(Outcome):
    """No attempt can succeed: the job becomes a dead letter now, whatever attempts it has left.

    ::

        if response.status_code == 402:
            raise GiveUp("card declined")
    """
