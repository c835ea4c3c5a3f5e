#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check the Promela models of kunit/model with spin, each over its full state space.

A model must hold as it is, and must not hold with any one of its NO_... macros
defined: each of these leaves out a barrier or a test that the code has.
"""
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "kunit" / "model"
OUT = ROOT / "build" / "model"

LIMIT = 3600  # seconds for one search, which takes some: longer is a hang
DEPTH = 1_000_000


@dataclasses.dataclass
class Check:
    """One model, whole or with something left out, and whether that came out as it must."""

    name: str
    passed: bool
    shows: list[str]
    log: list[str]
    states: int
    seconds: float


def search(code, without):
    """Run one search. How many errors it found, how many states it stored, and what it said."""
    work = OUT / code.stem / (without or "whole")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for path in MODELS.iterdir():
        shutil.copy(path, work)

    def run(*command):
        done = subprocess.run(command, cwd=work, text=True, capture_output=True, timeout=LIMIT)
        return done.returncode, done.stdout + done.stderr

    # To optimize takes longer than the search.
    for command in (["spin", *([f"-D{without}"] if without else []), "-a", code.name],
                    ["gcc", "-DSAFETY", "-o", "pan", "pan.c"]):  # fmt: skip
        status, said = run(*command)
        if status:
            return None, 0, said
    _, said = run("./pan", f"-m{DEPTH}")
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\d+) states, stored", said)
    # A search cut short by anything but an error proves nothing.
    if not errors or not states or "max search depth too small" in said or "out of memory" in said:
        return None, 0, said
    return int(errors[1]), int(states[1]), said


def check_all():
    """Yield a Check for every model, and for everything that can be left out of it."""
    for code in sorted(MODELS.glob("*.pml")):
        text = code.read_text()
        shows = re.findall(r"\bR\d+\b", " ".join(re.findall(r"shows:.*", text)))
        for without in [None, *sorted(set(re.findall(r"\bNO_[A-Z_]+\b", text)))]:
            start = time.monotonic()
            errors, states, said = search(code, without)
            if without:
                # It has to break what the model claims, not run into an end that should not be.
                passed = bool(errors) and "assertion violated" in said
                name = f"{code.stem} does not hold with {without}"
            else:
                passed = errors == 0
                name = f"{code.stem} holds in every order"
            yield Check(name, passed, [] if without else shows, said.splitlines(), states,
                        time.monotonic() - start)  # fmt: skip


def main():
    failed = False
    for check in check_all():
        print(f"{'ok' if check.passed else 'FAILED'}: {check.name} ({check.states} states, {check.seconds:.1f} s)")
        if not check.passed:
            failed = True
            print("\n".join(check.log))
    return failed


if __name__ == "__main__":
    sys.exit(main())
