"""SciPy over the numbers that `cargo bench --bench analysis` wrote, beside the medians that it measured.

Of each only the computation is timed, after one call that warms up; results have to be the same.

    python3 bench.py TARGET_DIRECTORY
"""
import json
import pathlib
import statistics
import sys
import time

import numpy as np
from scipy.stats import mannwhitneyu, norm

target = pathlib.Path(sys.argv[1])


def median(work):
    """Of at least five calls and, if there is time for them, 200; in nanoseconds."""
    work()
    times, begun = [], time.perf_counter()
    while len(times) < 5 or (len(times) < 200 and time.perf_counter() - begun < 3):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times)


def rank_of_end(n, m):
    return int(n * m / 2 + 0.5 - norm.ppf(0.99) * np.sqrt(n * m * (n + m + 1) / 12))


def shift_of_all(x, y):
    """All differences at once, as they are found in textbooks."""
    n, m = len(x), len(y)
    k = rank_of_end(n, m)
    half = n * m // 2
    places = sorted({k - 1, n * m - k, (n * m - 1) // 2, half})
    d = np.partition(np.subtract.outer(x, y).ravel(), places)
    return (d[(n * m - 1) // 2] + d[half]) / 2, d[k - 1], d[n * m - k]


def shift_by_bisection(x, y):
    """For samples whose differences do not fit the memory: counts by `searchsorted`, to the last bit."""
    x, y = np.sort(x), np.sort(y)
    n, m = len(x), len(y)

    def at(rank):
        low, high = x[0] - y[-1], x[-1] - y[0]
        while True:
            middle = low + (high - low) / 2
            if middle <= low or middle >= high:
                return high if np.searchsorted(y, x - low, "left").sum() < n * m - rank + 1 else low
            # How many differences are at most the middle: x - y <= middle.
            if n * m - np.searchsorted(y, x - middle, "left").sum() >= rank:
                high = middle
            else:
                low = middle

    k = rank_of_end(n, m)
    half = n * m // 2
    return (at((n * m + 1) // 2) + at(half + 1)) / 2, at(k), at(n * m - k + 1)


def ours(*path):
    file = target.joinpath("criterion", *path, "new", "estimates.json")
    return json.loads(file.read_text())["median"]["point_estimate"]


print(f"{'what':<28}{'values a side':>14}{'ours, us':>12}{'SciPy, us':>14}{'ratio':>10}")
for n in [60, 1000, 100000]:
    numbers = json.loads((target / "tmp" / f"analysis-{n}.json").read_text())
    x, y = np.array(numbers["x"]), np.array(numbers["y"])
    p, wanted = mannwhitneyu(x, y, method="asymptotic").pvalue, numbers["p"][0]
    if abs(p - wanted) > 1e-12 * p:
        sys.exit(f"{n}: the p-values are {wanted} and {p}")
    shift = shift_of_all if n <= 1000 else shift_by_bisection
    for got, want in zip(shift(x, y), numbers["shift"]):
        if abs(got - want) > 1e-9:
            sys.exit(f"{n}: the shifts are {numbers['shift']} and {shift(x, y)}")
    for name, group, work in [
        ("Mann-Whitney", "rank_test", lambda: mannwhitneyu(x, y, method="asymptotic")),
        ("Hodges-Lehmann", "shift", lambda: shift(x, y)),
    ]:
        mine, theirs = ours(group, "release", str(n)), median(work)
        print(f"{name:<28}{n:>14,}{mine / 1e3:>12,.2f}{theirs / 1e3:>14,.1f}{theirs / mine:>9,.1f}x")
