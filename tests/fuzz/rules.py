"""Random rules of recurrence and their first dates, by python-dateutil: one JSON array a line.

Arguments: how many, and the seed of the random numbers. Lines hold the rule, the date that it counts from, and the dates
after that one, within 40 years."""

import itertools
import json
import random
import sys
from datetime import date, datetime, timedelta

from dateutil.rrule import rrulestr

COUNT, SEED = int(sys.argv[1]), sys.argv[2]
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
FIRST, LAST = date(1990, 1, 1), date(2060, 12, 31)
MOST_DATES, MOST_YEARS = 6, 40

chance = random.Random(SEED)


def some(values, most):
    return chance.sample(values, chance.randint(1, min(most, len(values))))


def listed(name, values):
    return [f"{name}={','.join(str(value) for value in values)}"]


def random_rule():
    frequency = chance.choice(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
    parts = [f"FREQ={frequency}"]
    if chance.random() < 0.5:
        parts.append(f"INTERVAL={chance.choice([2, 3, 4, chance.randint(2, 60)])}")
    if chance.random() < 0.25:
        parts += listed("BYMONTH", some(range(1, 13), 4))
    if chance.random() < 0.35 and frequency != "WEEKLY":
        parts += listed("BYMONTHDAY", some([*range(-31, 0), *range(1, 32)], 4))
    if chance.random() < 0.5:
        days = some(DAYS, 4)
        if frequency in ("MONTHLY", "YEARLY") and chance.random() < 0.6:
            of_year = frequency == "YEARLY" and not any(part.startswith("BYMONTH=") for part in parts)
            most = 53 if of_year else 5
            days = [f"{chance.choice([-1, 1]) * chance.randint(1, most)}{day}" for day in days]
        parts += listed("BYDAY", days)
    if chance.random() < 0.3:
        parts.append(f"WKST={chance.choice(DAYS)}")
    chance.shuffle(parts)
    return ";".join(parts)


def for_dateutil(rule, start):
    """The rule with what we take from the start written out: a day beyond a month's length is clamped."""
    names = {part.split("=")[0] for part in rule.split(";")}
    is_open = ("FREQ=MONTHLY" in rule or "FREQ=YEARLY" in rule) and not names & {"BYMONTHDAY", "BYDAY"}
    if not is_open or start.day <= 28:
        return rule
    if "FREQ=YEARLY" in rule:
        if "BYMONTH" in names:
            return None  # One clamped day for each month cannot be said.
        rule += f";BYMONTH={start.month}"
    return f"{rule};BYMONTHDAY={','.join(str(day) for day in range(28, start.day + 1))};BYSETPOS=-1"


lines = 0
while lines < COUNT:
    rule = random_rule()
    start = FIRST + timedelta(days=chance.randrange((LAST - FIRST).days))
    theirs = for_dateutil(rule, start)
    if theirs is None:
        continue
    # Without an end, a rule that fits no date would be looked for up to the year 9999.
    end = f"{start.year + MOST_YEARS - 1}1231"
    dates = iter(rrulestr(f"{theirs};UNTIL={end}", dtstart=datetime.combine(start, datetime.min.time())))
    after = (moment.date().isoformat() for moment in dates if moment.date() > start)
    print(json.dumps([rule, start.isoformat(), list(itertools.islice(after, MOST_DATES))]))
    lines += 1
