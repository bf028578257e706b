#!/usr/bin/python3
"""Draws how five users share eight GPUs by turns and by arrival, from what bench-fair-share simulates, and prints
how long their jobs wait (median and longest) and when the last one ends. The picture is in README."""

import argparse
import collections
import csv
import itertools
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
GPUS = 8
# Colours of Okabe and Ito, which the colour-blind can tell apart.
USERS = {"1": ("Alice", "#56b4e9"), "2": ("Bob", "#e69f00"), "3": ("Carol", "#009e73"), "4": ("Dave", "#d55e00"),
         "5": ("Erin", "#cc79a7")}
FIRST = "1"  # the user with most jobs
ORDERS = {"turns": "In turns, as gpu-gate does", "arrival": "First come, first served (order = arrival)"}

WIDTH, LEFT, RIGHT = 860, 64, 24
TOP, PANEL, GAP = 116, 144, 64
HEIGHT = TOP + 2 * PANEL + GAP + 52
TEXT, FAINT = "#1f2328", "#8c959f"


class Job:
    def __init__(self, row):
        self.order, self.user = row["order"], row["user"]
        self.came, self.start, self.end = (float(row[key]) for key in ("came_min", "start_min", "end_min"))
        self.wait = self.start - self.came


def simulate(build):
    out = subprocess.run([build / "bench/bench-fair-share"], check=True, capture_output=True, text=True).stdout
    return [Job(row) for row in csv.DictReader(out.splitlines())]


def held(jobs):
    """How many GPUs each user holds, as (from, to, {user: GPUs}) in minutes."""
    changes = collections.defaultdict(collections.Counter)
    for job in jobs:
        changes[job.start][job.user] += 1
        changes[job.end][job.user] -= 1
    now, spans = collections.Counter(), []
    for begin, end in itertools.pairwise(sorted(changes)):
        now.update(changes[begin])
        if spans and spans[-1][2] == now:
            spans[-1] = (spans[-1][0], end, spans[-1][2])
        else:
            spans.append((begin, end, now.copy()))
    return spans


def draw(jobs):
    last = max(job.end for job in jobs)

    def x(minute):
        return round(LEFT + (WIDTH - LEFT - RIGHT) * minute / last, 1)

    came = {job.user: job.came for job in jobs}
    counts = collections.Counter(job.user for job in jobs if job.order == "turns")
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13" '
        f'fill="{TEXT}">',
        "<title>How five users share eight GPUs: in turns, and first come, first served</title>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8" fill="#fff" stroke="#d0d7de"/>',
        f'<text x="{LEFT}" y="30" font-size="16" font-weight="600">How five users share eight GPUs</text>',
        *legend(came, counts),
    ]
    for number, (order, title) in enumerate(ORDERS.items()):
        y = TOP + number * (PANEL + GAP)
        svg.append(f'<text x="{LEFT}" y="{y - 10}" font-weight="600">{title}</text>')
        svg += panel([job for job in jobs if job.order == order], x, y)
        svg += axes(x, y, int(last // 60))
    svg += [f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">time in hours</text>',
            "</svg>"]
    return "\n".join(svg) + "\n"


def legend(came, counts):
    parts = []
    for column, (user, (name, colour)) in enumerate(USERS.items()):
        at = LEFT + column * (WIDTH - LEFT - RIGHT) // len(USERS)
        parts += [f'<rect x="{at}" y="47" width="26" height="28" rx="3" fill="{colour}"/>',
                  f'<text x="{at + 33}" y="58" font-weight="600">{name}</text>',
                  f'<text x="{at + 33}" y="74" font-size="12">{counts[user]} jobs at {came[user] / 60:g} h</text>']
    return parts


def panel(jobs, x, y):
    """An area for each user, one upon the other."""
    scale = PANEL / GPUS
    spans = held(jobs)
    parts, below = [], [0] * len(spans)
    for user, (name, colour) in USERS.items():
        above = [floor + holds[user] for floor, (_, _, holds) in zip(below, spans)]
        path, best = "", (0, None)
        bands = zip(spans, below, above)
        for (floor, ceiling), same in itertools.groupby(bands, key=lambda band: band[1:]):
            same = list(same)
            begin, end = x(same[0][0][0]), x(same[-1][0][1])
            if floor == ceiling:
                continue
            top, height = round(y + PANEL - ceiling * scale, 1), round((ceiling - floor) * scale, 1)
            path += f"M{begin:g} {top:g}H{end:g}v{height:g}H{begin:g}z"
            best = max(best, (end - begin, ((begin + end) / 2, top + height / 2)))
        parts.append(f'<path fill="{colour}" d="{path}"/>')
        if best[0] > 9 * len(name):
            (middle, centre) = best[1]
            parts.append(f'<text x="{middle:.1f}" y="{centre + 4.5:.1f}" text-anchor="middle">{name}</text>')
        below = above
    return parts


def axes(x, y, hours):
    bottom = y + PANEL
    parts = [f'<path fill="none" stroke="{FAINT}" d="M{LEFT} {y}V{bottom}H{WIDTH - RIGHT}"/>']
    for gpus in range(0, GPUS + 1, 2):
        at = bottom - gpus * PANEL / GPUS
        parts += [f'<path stroke="{FAINT}" d="M{LEFT - 4} {at:g}h4"/>',
                  f'<text x="{LEFT - 8}" y="{at + 4.5:g}" text-anchor="end">{gpus}</text>']
    parts.append(f'<text transform="translate(22 {y + PANEL / 2:g}) rotate(-90)" text-anchor="middle">GPUs held</text>')
    for hour in range(hours + 1):
        parts += [f'<path stroke="{FAINT}" d="M{x(hour * 60):g} {bottom}v4"/>',
                  f'<text x="{x(hour * 60):g}" y="{bottom + 18}" text-anchor="middle">{hour}</text>']
    return parts


def tell(jobs):
    print(f"{'':8}{'':18}{'by turns':24}by arrival")
    for user, (name, _) in USERS.items():
        row(name, [job for job in jobs if job.user == user])
    row("all but " + USERS[FIRST][0], [job for job in jobs if job.user != FIRST])


def row(name, jobs):
    texts = []
    for order in ORDERS:
        waits = [job.wait for job in jobs if job.order == order]
        end = max(job.end for job in jobs if job.order == order)
        texts.append(f"{statistics.median(waits):4.0f} {max(waits):4.0f} min {end / 60:5.1f} h")
    print(f"{name:15}{len(waits):4} jobs  {texts[0]:24}{texts[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="where bench-fair-share was built")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/fair-share.svg", help="(%(default)s)")
    options = parser.parse_args()
    jobs = simulate(options.build)
    options.out.write_text(draw(jobs), encoding="utf-8")
    tell(jobs)


if __name__ == "__main__":
    main()
