"""A job of packing.py, which keeps its own account of what is promised of each GPU.

Arguments: the ledger, what a GPU has, what this job was promised of it (both MiB), how long to run (s). A line of
the ledger is a GPU, what is promised of it from now on (MiB; negative: what no longer is), and the clock (ns).
It fails where the jobs on its GPU were promised more than there is.
"""

import fcntl
import os
import sys
import time


def promised(ledger, gpu, mib):
    """Writes a line; returns what is promised of this GPU then. Blocks while another job does the same."""
    with open(ledger, "a+", encoding="ascii") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        print(gpu, mib, time.monotonic_ns(), file=lines, flush=True)
        lines.seek(0)
        return sum(int(line.split()[1]) for line in lines if line.startswith(gpu + " "))


def main(ledger, usable_mib, mib, seconds):
    gpu = os.environ["GPU_GATE_UUIDS"]
    sum_mib = promised(ledger, gpu, int(mib))
    time.sleep(float(seconds))
    promised(ledger, gpu, -int(mib))
    if sum_mib > int(usable_mib):
        sys.exit(f"{sum_mib} MiB were promised of {gpu}, which has {usable_mib}")


main(*sys.argv[1:])
