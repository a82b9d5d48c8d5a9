"""What a late submission loses: "10% per day", "5% per hour, at most 50%"."""

import datetime
import math
import re
from typing import NamedTuple

UNITS = {"day": 86400, "hour": 3600, "minute": 60}
RULE = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*% (?:per|a|an|each) (day|hour|minute)"
    r"(?:,? (?:at most|up to) (\d+(?:\.\d+)?)\s*%)?\s*"
)
GRACE = 60.0  # seconds: clocks differ


class Late(NamedTuple):
    """due, a datetime; percent lost for each unit begun, at most `most` percent."""

    due: datetime.datetime
    percent: float
    unit: str
    most: float

    def of(self, when):
        """(factor of the score, in words) of what was handed in at `when`, ISO 8601."""
        seconds = (moment(when) - self.due).total_seconds()
        if seconds <= GRACE:
            return 1.0, ""
        units = math.ceil((seconds - GRACE) / UNITS[self.unit])
        lost = min(units * self.percent, self.most)
        plural = "s" * (units != 1)
        return 1 - lost / 100, f"{units} {self.unit}{plural} late: -{lost:g} %"


def rule(text, due):
    """A Late from words. Raises ValueError."""
    found = RULE.fullmatch(text)
    if not found:
        raise ValueError(f'expected as in "10% per day, at most 50%", got {text!r}')
    percent, unit, most = found.groups()
    return Late(due, float(percent), unit, min(float(most or 100), 100.0))


def moment(text):
    """A datetime with its zone, from ISO 8601; without a zone it is local time."""
    try:
        when = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        expected = "a time as 2026-11-28T23:59, with or without a zone"
        raise ValueError(f"expected {expected}, got {text!r}") from None
    return when.astimezone()
