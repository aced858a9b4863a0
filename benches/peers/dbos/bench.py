#!/usr/bin/env python3
"""DBOS on PostgreSQL: runs of no-op steps, each recorded by a cluster of our own.

    python3 bench.py --runs 1 --steps 100 --samples 5

The cluster listens on a unix socket only, keeps its data below TMPDIR, and is stopped with this
program, however it ends. Prints one JSON object, as `peers durable` does.
"""

import argparse
import itertools
import json
import os
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
from dbos import DBOS

READY_SECONDS = 60
WARM_UPS = 3
# As root, because PostgreSQL refuses to run as root.
ACCOUNT = os.environ.get("PEERS_PG_USER", "postgres")
BIN = Path(os.environ.get("PEERS_PG_BIN", "/usr/lib/postgresql/15/bin"))

ran = itertools.count()


@DBOS.step()
def no_op():
    next(ran)


@DBOS.workflow()
def linear(steps):
    for _ in range(steps):
        no_op()
    return steps


def account():
    """Who owns the cluster: None is whoever runs this."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        sys.exit(f"dbos: PostgreSQL refuses root, and there is no user {ACCOUNT}: name one in PEERS_PG_USER")


def command(owner, program, *arguments):
    """The command line that runs a program of PostgreSQL as its owner.

    setpriv has the kernel stop the server when this program dies without stopping it.
    """
    if not (BIN / program).exists():
        sys.exit(f"dbos: no {BIN / program}: install PostgreSQL, or name its bin in PEERS_PG_BIN")
    change = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"] if owner else []
    return ["setpriv", "--pdeathsig=INT", *change, "--", str(BIN / program), *arguments]


@contextmanager
def folder(owner, prefix, parent=None):
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def cluster():
    """A cluster with PostgreSQL's defaults; yields the address of its database."""
    owner = account()
    # A socket's path has at most 107 bytes, so it is not below TMPDIR, which may be deep.
    with folder(owner, "dbos-") as home, folder(owner, "dbos-", "/tmp") as socket:
        data, log = home / "data", home / "log"
        create = command(owner, "initdb", "-D", str(data), "-U", "peers", "--auth=trust", "-E", "UTF8", "--locale=C")
        made = subprocess.run(create, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            sys.exit(f"dbos: initdb failed; its user must be able to enter {home}\n{made.stderr}")
        start = command(owner, "postgres", "-D", str(data), "-k", str(socket), "-c", "listen_addresses=")
        with open(log, "w", encoding="utf-8") as output:
            server = subprocess.Popen(start, stdout=output, stderr=output, start_new_session=True)
        try:
            url = f"postgresql://peers@/postgres?host={socket}"
            wait_until_ready(server, url, log)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # "fast": sessions are cut, data is synced
            server.wait()


def wait_until_ready(server, url, log):
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with psycopg.connect(url) as connection:
                for setting in ("fsync", "synchronous_commit"):
                    if (value := connection.execute(f"SHOW {setting}").fetchone()[0]) != "on":
                        sys.exit(f"dbos: {setting} is {value}; durable figures would mean nothing")
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"dbos: PostgreSQL did not start\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.05)


def sample(runs, steps):
    """Seconds that `runs` workflows of `steps` steps take which start together."""
    before = next(ran)
    begun = time.perf_counter()
    if runs == 1:
        answers = [linear(steps)]
    else:
        handles = [DBOS.start_workflow(linear, steps) for _ in range(runs)]
        answers = [handle.get_result() for handle in handles]
    taken = time.perf_counter() - begun
    count = next(ran) - before - 1
    if answers != [steps] * runs or count < runs * steps:
        raise RuntimeError(f"dbos ran {count} steps of {runs * steps}")
    return taken


def measure(runs, steps, samples):
    with cluster() as url:
        DBOS(config={"name": "peers", "system_database_url": url, "log_level": "ERROR"})
        try:
            DBOS.launch()
            for _ in range(WARM_UPS):
                sample(runs, steps)
            return statistics.median(sample(runs, steps) for _ in range(samples))
        finally:
            DBOS.destroy()


def number(text):
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser()
    for name in ("--runs", "--steps", "--samples"):
        parser.add_argument(name, type=number, required=True)
    size = parser.parse_args()
    nanoseconds = round(measure(size.runs, size.steps, size.samples) * 1e9 / (size.runs * size.steps))
    line = {
        "bench": "durable_steps",
        "engine": "dbos",
        "runs": size.runs,
        "steps": size.steps,
        "samples": size.samples,
        "median_ns_per_step": nanoseconds,
        "steps_per_second": 1_000_000_000 // nanoseconds,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
