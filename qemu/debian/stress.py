# SPDX-License-Identifier: GPL-2.0
"""stress-ng's file-system class: what passes on a tmpfs passes here."""
import re
import subprocess

from common import COWMEM, LONG, TMPFS, check, empty, main, say, version

SECONDS = 3 if LONG else 1
LACKS = {"chattr", "xattr"}  # README, Limits: what a mount of cowmem's has not
LISTED = re.compile(r"(passed|failed|skipped|metrics untrustworthy): \d+: (.*)")


def stress(folder):
    """What each stressor of the class came to: its name, and passed, failed or skipped."""
    done = subprocess.run(
        ["stress-ng", "--class", "filesystem", "--sequential", "2", "--timeout", str(SECONDS), "--verify",
         "--temp-path", folder, "--no-rand-seed", "--oom-avoid"],
        text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # fmt: skip
    came = {}
    for line in done.stdout.splitlines():
        if match := LISTED.search(line):
            came |= {name: match[1] for name in re.findall(r"([\w-]+) \(\d+\)", match[2])}
    empty(folder)
    return came, done.stdout


def filesystem():
    here, said = stress(COWMEM)
    there, said_there = stress(TMPFS)
    check(len(here) > 20, said)
    worse = [name for name in here if here[name] == "failed" and there.get(name) != "failed"]
    worse += [name for name in there if there[name] == "passed" and here.get(name) != "passed" and name not in LACKS]
    for name in sorted(set(there) | set(here)):
        if here.get(name) != "passed" or there.get(name) != "passed":
            say(f"{name}: {here.get(name)} here, {there.get(name)} on tmpfs")
            say("\n".join(line for line in said.splitlines() if f"{name}:" in line))
    say(f"{sum(how == 'passed' for how in here.values())} of {len(here)} stressors passed, "
        f"{sum(how == 'passed' for how in there.values())} on tmpfs")  # fmt: skip
    check(not worse, *worse, "are better on tmpfs")


main((f"stress-ng {version('stress-ng')}, each stressor of class filesystem for {SECONDS} s", filesystem))
