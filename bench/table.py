"""What was measured, against what it should be."""

import dataclasses
import math


@dataclasses.dataclass
class Row:
    name: str
    ours: float
    unit: str
    baseline: float | None = None
    target: str = ""
    met: bool | None = None  # None: for information, without a target

    @property
    def ratio(self):
        """None where a figure is a difference that the noise made negative."""
        return self.ours / self.baseline if self.baseline and self.baseline > 0 and self.ours >= 0 else None


def at_most(name, ours, limit, unit, baseline=None):
    return Row(name, ours, unit, baseline, f"<= {limit:g} {unit}".rstrip(), ours <= limit)


def at_most_times(name, ours, baseline, times, unit):
    return Row(name, ours, unit, baseline, f"<= {times:g} x", ours <= times * baseline)


def at_least_times(name, ours, baseline, times, unit):
    return Row(name, ours, unit, baseline, f">= {times:g} x", ours >= times * baseline)


def percentile(values, percent):
    """The smallest value that at least this percentage of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def number(value, unit):
    if value is None:
        return "-"
    return f"{value:.3g} {unit}".rstrip() if abs(value) < 1000 else f"{value:.0f} {unit}".rstrip()


def print_table(rows):
    head = ["benchmark", "gpu-gate", "baseline", "ratio", "target", ""]
    cells = [head]
    for row in rows:
        verdict = "" if row.met is None else "ok" if row.met else "MISS"
        cells.append([row.name, number(row.ours, row.unit), number(row.baseline, row.unit),
                      number(row.ratio, ""), row.target or "-", verdict])
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    for line in cells:
        print("  ".join(cell.rjust(width) if 0 < i < 4 else cell.ljust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def as_json(rows):
    return [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]
