"""Writes cases.json: samples, and what the judge of Kayenta says of them.

An implementation of its own, from the descriptions of R's `wilcox.test(x, y, conf.int = TRUE,
exact = FALSE, correct = TRUE)` and of Brent's zero finder (Forsythe, Malcolm and Moler, 1977), with the
ranks of SciPy. Needs numpy and scipy; the seed is fixed.

    python3 generate.py > cases.json
"""
import json
import math

import numpy as np
from scipy.stats import norm, rankdata

Z = norm.ppf(0.99)


def zero(f, a, b, tol):
    fa, fb = f(a), f(b)
    c, fc = a, fa
    if fa == 0:
        return a
    if fb == 0:
        return b
    for _ in range(1001):
        before = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        enough = 2 * np.finfo(float).eps * abs(b) + tol / 2
        new = (c - b) / 2
        if abs(new) <= enough or fb == 0:
            return b
        if abs(before) >= enough and abs(fa) > abs(fb):
            if a == c:
                t = fb / fa
                p, q = (c - b) * t, 1 - t
            else:
                u, v, w = fa / fc, fb / fc, fb / fa
                p = w * ((c - b) * u * (u - v) - (b - a) * (v - 1))
                q = (u - 1) * (v - 1) * (w - 1)
            if p > 0:
                q = -q
            else:
                p = -p
            if p < 0.75 * (c - b) * q - abs(enough * q) / 2 and p < abs(before * q / 2):
                new = p / q
        if abs(new) < enough:
            new = enough if new > 0 else -enough
        a, fa = b, fb
        b += new
        fb = f(b)
        if (fb > 0) == (fc > 0):
            c, fc = a, fa
    raise ArithmeticError


def locate(x, y):
    n, m = len(x), len(y)

    def away(mu, q):
        both = np.concatenate([x - mu, y])
        ranks = rankdata(both)
        w = ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2
        _, t = np.unique(both, return_counts=True)
        t = t.astype(float)
        s = math.sqrt(n * m / 12 * ((n + m + 1) - (t**3 - t).sum() / ((n + m) * (n + m - 1))))
        return (w - 0.5 * np.sign(w)) / s - q

    low, high = x.min() - y.max(), x.max() - y.min()

    def root(q):
        if away(low, q) <= 0:
            return low
        if away(high, q) >= 0:
            return high
        return zero(lambda mu: away(mu, q), low, high, 1e-4)

    return root(0.0), root(Z), root(-Z)


def prepare(values, config):
    v = np.array(values, dtype=float)
    v = np.where(np.isnan(v), 0.0, v) if config.get("nanStrategy") == "replace" else v[~np.isnan(v)]
    outliers = config.get("outliers", {})
    if outliers.get("strategy") == "remove" and len(v):
        q1, q3 = np.percentile(v, [25, 75])
        f = outliers.get("outlierFactor", 3.0) * (q3 - q1)
        low, high = min(np.percentile(v, 1), q1 - f), max(np.percentile(v, 99), q3 + f)
        v = v[(v >= low) & (v <= high)]
    return v


def judge(config, experiment, control):
    x, y = prepare(experiment, config), prepare(control, config)
    if not len(x) or not len(y):
        if config.get("nanStrategy") == "replace":
            return {"classification": "Pass"}
        if config.get("mustHaveData") and not config.get("critical"):
            return {"classification": "NodataFailMetric"}
        return {"classification": "Nodata", "critical": bool(config.get("critical"))}
    if len(x) == len(y) and (np.sort(x) == np.sort(y)).all() or len(np.unique(np.concatenate([x, y]))) == 1:
        return {"classification": "Pass"}
    estimate, low, high = locate(x, y)
    size = config.get("effectSize", {})
    if size.get("measure") == "cles":
        r = rankdata(np.concatenate([x, y]))[: len(x)].sum()
        effect, none = (2 * r - len(x) * (len(x) + 1)) / (2 * len(x) * len(y)), 0.5
    else:
        a, b = x.mean(), y.mean()
        effect, none = (math.nan if a == 0 or b == 0 else a / b), 1.0
    up = lambda key: math.isnan(effect) or effect >= size.get(key, none)
    down = lambda key: math.isnan(effect) or effect <= size.get(key, none)
    direction = config.get("direction", "either")
    bound = 0.25 * abs(estimate)
    out = {"classification": "Pass", "critical": False}
    if direction != "decrease" and low > bound and up("allowedIncrease"):
        out = {"classification": "High", "critical": bool(config.get("critical") and up("criticalIncrease"))}
    elif direction != "increase" and high < -bound and down("allowedDecrease"):
        out = {"classification": "Low", "critical": bool(config.get("critical") and down("criticalDecrease"))}
    return out | {"estimate": estimate, "lower": low, "upper": high, "effect": None if math.isnan(effect) else effect}


def main():
    rng = np.random.default_rng(20261128)
    cases = []

    def case(name, config, x, y):
        null = lambda v: [None if math.isnan(a) else float(a) for a in v]
        cases.append({"name": name, "canary": config, "experiment": null(x), "control": null(y),
                      "expected": judge(config, x, y)})

    for scale in [1.0, 1e3, 1e-3, 1e-4, 3e-5, 1e-5, 1e-6]:
        x, y = rng.lognormal(0, 0.2, 60) * 3, rng.lognormal(0, 0.2, 60)
        case(f"tripled at scale {scale}", {"direction": "increase"}, x * scale, y * scale)
    for n, m, shift in [(5, 5, 1.0), (12, 30, 0.3), (60, 60, 0.0), (60, 60, 0.4), (200, 150, -0.2), (3, 80, 2.0)]:
        x, y = rng.normal(10 + shift, 1, n), rng.normal(10, 1, m)
        for direction in ["either", "increase", "decrease"]:
            case(f"normal {n} {m} {shift} {direction}", {"direction": direction}, x, y)
        case(f"rounded {n} {m} {shift}", {}, np.round(x), np.round(y))
    x, y = rng.lognormal(0.4, 0.3, 60), rng.lognormal(0, 0.3, 60)
    for size in [{"allowedIncrease": 1.2}, {"allowedIncrease": 3.0}, {"measure": "cles", "allowedIncrease": 0.8},
                 {"measure": "cles"}, {"measure": "cles", "allowedIncrease": 0.99},
                 {"criticalIncrease": 1.3}, {"criticalIncrease": 5.0}, {"measure": "meanRatio", "criticalDecrease": 0.5}]:
        case(f"effect {size}", {"critical": True, "effectSize": size}, x, y)
        case(f"effect, other way {size}", {"critical": True, "effectSize": size}, y, x)
    holes = lambda v: np.where(rng.uniform(size=len(v)) < 0.2, np.nan, v)
    for config in [{}, {"nanStrategy": "replace"}, {"nanStrategy": "remove"}, {"nanStrategy": "other"}]:
        case(f"holes {config}", config, holes(x), holes(y))
        for extra in [{}, {"critical": True}, {"mustHaveData": True}, {"mustHaveData": True, "critical": True}]:
            case(f"empty {config} {extra}", config | extra, [], y)
        case(f"all missing {config}", config, [math.nan] * 3, y)
    wild_x, wild_y = np.concatenate([x, [500.0, 900.0]]), np.concatenate([y, [0.0, 700.0]])
    for config in [{}, {"outliers": {"strategy": "remove"}}, {"outliers": {"strategy": "remove", "outlierFactor": 1.0}},
                   {"outliers": {"strategy": "keep"}}]:
        case(f"outliers {config}", config, wild_x, wild_y)
    case("errors against none", {"direction": "increase"}, [0, 1, 2, 1, 0, 0], [0] * 6)
    case("errors against none, many", {"direction": "increase"}, [float(v) for v in rng.poisson(0.3, 60)], [0.0] * 60)
    case("none against errors", {}, [0.0] * 60, [float(v) for v in rng.poisson(1.5, 60)])
    case("more than none", {"direction": "increase"}, [float(v) for v in rng.poisson(3, 60)], [0.0] * 60)
    case("all the same", {}, [2.0] * 9, [2.0] * 7)
    case("equal in another order", {}, [1.0, 2.0, 3.0], [3.0, 1.0, 2.0])
    case("one is constant", {}, [5.0] * 20, [float(v) for v in rng.poisson(3, 20)])
    case("counts", {}, [float(v) for v in rng.poisson(6, 40)], [float(v) for v in rng.poisson(3, 40)])
    case("single values", {}, [2.0], [1.0, 1.5])
    print("[\n" + ",\n".join(json.dumps(one) for one in cases) + "\n]")


main()
