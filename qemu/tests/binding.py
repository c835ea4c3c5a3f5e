# SPDX-License-Identifier: GPL-2.0
"""binding [memfd]: the binding for Python, each of its calls, as root and as a user who is nobody, on
objects of the module's or, with the argument, on memfds. TAP on stdout; the library is what COWMEM_LIBRARY names.
"""
import ctypes
import errno
import os
import sys
import traceback

import cowmem

MODULE = "memfd" not in sys.argv[1:]
FLAGS = cowmem.CREATE_MODULE if MODULE else cowmem.CREATE_MEMFD
PAGE = cowmem.PAGE_SIZE


def made(pages):
    new = cowmem.Object("binding", FLAGS)
    new.resize(pages * PAGE)
    memory = new.map()
    for i in range(pages):
        memory[i * PAGE : i * PAGE + 5] = b"page" + bytes([65 + i])
    return new


def fails_with(number, call, *arguments, **named):
    """Whether a call raises this errno; the parts of an answer are taken."""
    try:
        given = call(*arguments, **named)
        if hasattr(given, "__next__"):
            list(given)
    except OSError as error:
        return error.errno == number
    return False


def only_module(call, *arguments, **named):
    """What a memfd cannot do: done, or refused."""
    if not MODULE:
        assert fails_with(errno.EOPNOTSUPP, call, *arguments, **named), call
        return None
    given = call(*arguments, **named)
    return list(given) if hasattr(given, "__next__") else given


def has_objects():
    with made(3) as one:
        fd = one.fileno()
        assert one.stat()["bytes"] == 3 * PAGE and one.stat()["resident_pages"] == 3
        assert one.is_module() == MODULE
        assert ("snapshot" in one.features()) == MODULE and ("copies" in one.features()) != MODULE
        assert MODULE == (one.info()["abi_version"] == 1)
        assert one.file().id() == one.id() == os.fstat(fd).st_ino
        one.punch(PAGE, PAGE)
        assert os.pread(fd, 6, PAGE) == bytes(6) and os.pread(fd, 5, 0) == b"pageA"
        one.set_cow(cowmem.COW_CORE)
        assert fails_with(errno.EINVAL, one.punch, 1, PAGE)
    assert fails_with(errno.EBADF, os.fstat, fd)
    assert fails_with(errno.EBADF, one.stat)
    assert fails_with(errno.EINVAL, cowmem.Object, None, 1 << 9)
    device = cowmem.Object.open_device if MODULE else made
    with device(*(() if MODULE else (1,))) as other:
        assert other.is_module() == MODULE
        fd = other.fd
        other.close()
        assert fails_with(errno.EBADF, os.fstat, fd)
    assert MODULE or fails_with(errno.ENODEV, cowmem.Object.open_device)
    assert "files" in cowmem.features() and cowmem.version().count(".") == 2


def maps():
    with made(2) as one:
        shared, private = one.map(), one.map(PAGE, offset=PAGE, private=True)
        private[0:4] = b"mine"
        assert shared[PAGE : PAGE + 5].tobytes() == b"pageB"
        shared[0:4] = b"ours"
        assert os.pread(one.fd, 5, 0) == b"oursA"
        assert one.map(writable=False).readonly


def has_snapshots():
    with made(4) as one:
        before = one.snapshot()
        os.pwrite(one.fd, b"new", PAGE)
        os.pwrite(one.fd, b"new", 2 * PAGE)
        one.punch(3 * PAGE, PAGE)
        assert list(one.diff(before)) == [(PAGE, 2 * PAGE, False), (3 * PAGE, PAGE, True)]
        assert list(one.diff(before, 0, PAGE)) == []
        copy, part = before.clone(), one.clone(PAGE, PAGE)
        assert os.pread(copy.fd, 5, PAGE) == b"pageB" and os.pread(part.fd, 5, PAGE) == b"neweB"
        one.restore(before, PAGE, PAGE)
        assert os.pread(one.fd, 5, PAGE) == b"pageB" and os.pread(one.fd, 3, 2 * PAGE) == b"new"
        one.restore(before)
        assert list(one.diff(before)) == []
        only_module(one.snapshot, max_copies=1)
        assert fails_with(errno.EBADF, os.pwrite, before.fd, b"x", 0)
        taken = only_module(cowmem.snapshot_set, one, copy)
        assert not MODULE or os.pread(taken[1].fd, 5, PAGE) == b"pageB"


def has_answers():
    with made(3) as one:
        memory = one.map()
        memory[0]
        pages, users = only_module(one.pagemap), only_module(one.rmap)
        assert not MODULE or [page.offset for page in pages] == [0, PAGE, 2 * PAGE]
        assert not MODULE or users[0].pid == os.getpid()
        out = only_module(one.page_out, flags=cowmem.PAGE_OUT_ACCESSED)
        assert not MODULE or out["out"] == 3
        aged = only_module(one.page_out, flags=cowmem.PAGE_OUT_AGE)
        assert not MODULE or aged["accessed"] == aged["out"] == 0
        assert only_module(one.prefetch, (0, PAGE), (PAGE, PAGE)) in (None, 2)
        assert only_module(one.prefetch_to_write, (0, 3 * PAGE)) in (None, 1)
        assert not MODULE or one.store_stat()["slots"] == 3
        only_module(one.store_limit, 8)
        only_module(one.move, 0)
        if "collapse" in one.features():
            one.set_huge(cowmem.HUGE_ADVISE)
            assert one.stat()["huge"] == cowmem.HUGE_ADVISE
            assert one.collapse()["collapsed"] == 0
        else:
            assert fails_with(errno.EOPNOTSUPP, one.set_huge, cowmem.HUGE_ALWAYS)
            assert fails_with(errno.EOPNOTSUPP, one.collapse)
        assert MODULE or fails_with(errno.EOPNOTSUPP, one.poison, 0, PAGE)
        assert MODULE or fails_with(errno.EOPNOTSUPP, one.store_stat)


def has_arrays():
    try:
        import numpy  # noqa: F401
    except ImportError:
        return "there is no numpy here"
    with made(2) as one:
        words = one.array("<u4", shape=(2, -1))
        assert words.shape == (2, PAGE // 4)
        words[1, 1] = 0x41424344
        assert os.pread(one.fd, 4, PAGE + 4) == b"DCBA"
        words += 1
        assert os.pread(one.fd, 4, PAGE + 4) == b"ECBA"
    return None


CASES = [has_objects, maps, has_snapshots, has_answers, has_arrays]


DEVICE, NOBODY, PR_SET_DUMPABLE = "/dev/cowmem", 65534, 4


def run(number, case, name):
    """One case; whether it fails."""
    try:
        skipped = case()
        print(f"ok {number} {name}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        return False
    except Exception:
        print("# " + traceback.format_exc().replace("\n", "\n# "))
        print(f"not ok {number} {name}", flush=True)
        return True


def run_as_user(number, case, name):
    """The same, in a process that is nobody's."""
    child = os.fork()
    if not child:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        os._exit(run(number, case, name))
    return os.waitpid(child, 0)[1] != 0


def main():
    print(f"TAP version 13\n1..{2 * len(CASES)}", flush=True)
    failed = sum(run(number, case, f"binding: {case.__name__}, as root") for number, case in enumerate(CASES, 1))
    mode = os.stat(DEVICE).st_mode & 0o7777 if MODULE else None
    if MODULE:
        os.chmod(DEVICE, 0o666)
    failed += sum(run_as_user(number, case, f"binding: {case.__name__}, as a user")
                  for number, case in enumerate(CASES, len(CASES) + 1))  # fmt: skip
    if MODULE:
        os.chmod(DEVICE, mode)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
