# SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
"""libcowmem for Python: objects of memory to map, snapshot, clone and page out.

    import cowmem
    with cowmem.Object("image") as image:
        image.resize(1 << 20)
        memory = image.map()            # a memoryview; image.array() is numpy's
        memory[:5] = b"hello"
        before = image.snapshot()

What a call fails with is an OSError. Names, units and errors are those of cowmem/cowmem.h.
"""
import collections
import ctypes
import mmap as _mmap
import os

LIBRARY = os.environ.get("COWMEM_LIBRARY", "libcowmem.so.1")
PAGE_SIZE = 4096

HUGE_NEVER, HUGE_ADVISE, HUGE_ALWAYS = 0, 1, 2
CREATE_MODULE, CREATE_MEMFD, CREATE_PINNABLE, CREATE_HUGE = 1, 2, 4, 8
RESIZE_GROWS = 1
PAGE_OUT_ACCESSED = 1
PAGE_OUT_AGE = 2
PAGEMAP_CLEAR_REFERENCED, PAGEMAP_CLEAR_DIRTY = 1, 2
RMAP_OF_COPIES = 1
CHANGED_HOLE = 1
COW_HANDLER, COW_CORE = 0, 1

Changed = collections.namedtuple("Changed", "offset length hole")
Page = collections.namedtuple("Page", "offset flags mapcount referenced")
Mapping = collections.namedtuple("Mapping", "offset address pid flags")

_lib = ctypes.CDLL(LIBRARY, use_errno=True)
_u32, _u64, _int = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int


def _struct(name, *fields):
    """A struct of linux/cowmem.h: a field is a name, of 8 bytes, or a name and a type."""
    fields = [(field, _u64) if isinstance(field, str) else field for field in fields]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


_head = ("size", _u32), ("flags", _u32)
_Info = _struct("Info", *_head, ("abi_version", _u32), ("page_size", _u32), "features", "max_bytes")
_Stat = _struct("Stat", *_head, "bytes", "resident_pages", ("cow", _u32), ("state", _u32),
                "layers", "copies", "max_copies", "shared_pages", "large_pages", ("huge", _u32), ("reserved", _u32))  # fmt: skip
_PageOut = _struct("PageOut", *_head, "offset", "length", "next", "out", "reused", "accessed", "locked", "busy",
                   "incompressible", "full", "no_memory", "poisoned", "tracked", "io_error")  # fmt: skip
_StoreStat = _struct("StoreStat", *_head, "slots", "same_filled", "bytes", "max_slots", "pool_bytes", "backing_slots")
_Move = _struct("Move", *_head, "offset", "length", ("node", _u32), ("reserved", _u32), "next", "moved", "busy")
_Collapse = _struct("Collapse", *_head, "offset", "length", "next", "collapsed", "huge", "sparse", "shared", "busy",
                    "poisoned", "no_memory", "io_error")  # fmt: skip
_Range = _struct("Range", "offset", "length")
_Changed = _struct("Changed", "offset", "length", ("flags", _u32), ("reserved", _u32))
_Page = _struct("Page", ("flags", _u32), ("mapcount", _u32), ("referenced", _u32), ("reserved", _u32))
_Mapping = _struct("Mapping", "offset", "address", ("pid", _u32), ("flags", _u32))

_lib.cowmem_version.restype = ctypes.c_char_p
_lib.cowmem_feature_name.restype = ctypes.c_char_p
_lib.cowmem_feature_name.argtypes = [_u64]
for _name in ("diff", "pagemap", "rmap"):
    getattr(_lib, f"cowmem_{_name}_iter_free").argtypes = [ctypes.c_void_p]
    getattr(_lib, f"cowmem_{_name}_iter_free").restype = None


def _call(name, *arguments):
    """A function of the library's, where a negative errno is raised."""
    given = getattr(_lib, f"cowmem_{name}")(*arguments)
    if given < 0:
        raise OSError(-given, os.strerror(-given))
    return given


def _told(name, kind, *arguments):
    """The struct that a function fills in, as much as there is of it here, as a dict of the numbers."""
    struct = kind()
    _call(f"{name}_sized", *arguments, ctypes.byref(struct), ctypes.c_size_t(ctypes.sizeof(struct)))
    return {field: getattr(struct, field) for field, _ in kind._fields_ if field not in ("size", "flags", "reserved")}


def _number(name, *arguments):
    """The number that a function leaves in its last argument."""
    number = _u64()
    _call(name, *arguments, ctypes.byref(number))
    return number.value


def _answer(name, made, parts, *arguments):
    """The parts of a long answer, each as `made` makes it of `parts`, which next() fills in."""
    iterator = ctypes.c_void_p()
    _call(f"{name}_iter_new", ctypes.byref(iterator), *arguments)
    try:
        while _call(f"{name}_iter_next", iterator, *(ctypes.byref(part) for part in parts)):
            yield made(*parts)
    finally:
        getattr(_lib, f"cowmem_{name}_iter_free")(iterator)


def _names(features):
    named = (_lib.cowmem_feature_name(1 << bit) for bit in range(64) if features >> bit & 1)
    return {name.decode() for name in named if name}


def version():
    """The library's version."""
    return _lib.cowmem_version().decode()


def features():
    """The words for what objects that are made here can do: {"snapshot", "diff", ...}."""
    return _names(_number("features"))


class Object:
    """One object: a descriptor, which close(), or the end of a `with`, closes."""

    def __init__(self, name=None, flags=0, fd=None):
        """A new object; or, with fd, the one of that descriptor, which is taken over."""
        self.fd = -1
        if fd is None:
            fd = _call("object_create", os.fsencode(name) if name is not None else None, flags)
        self.fd = fd

    @classmethod
    def open_device(cls):
        """A new object as /dev/cowmem itself gives it."""
        return cls(fd=_call("object_open_device"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    def fileno(self):
        return self.fd

    def close(self):
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def file(self):
        return Object(fd=_call("object_file", self.fd))

    def features(self):
        return _names(_number("object_features", self.fd))

    def is_module(self):
        return bool(_call("object_is_module", self.fd))

    def id(self):
        return _number("object_id", self.fd)

    def info(self):
        return _told("object_info", _Info, self.fd)

    def stat(self):
        return _told("object_stat", _Stat, self.fd)

    def resize(self, size, flags=RESIZE_GROWS):
        _call("object_resize", self.fd, _u64(size), flags)

    def punch(self, offset, length):
        _call("object_punch", self.fd, _u64(offset), _u64(length), None)

    def set_cow(self, cow):
        _call("object_set_cow", self.fd, cow)

    def map(self, length=None, offset=0, private=False, writable=True):
        """Memory that the object is mapped at, as a memoryview; it is unmapped with the last of those."""
        size = self.stat()["bytes"]
        access = _mmap.PROT_READ | (_mmap.PROT_WRITE if writable else 0)
        flags = _mmap.MAP_PRIVATE if private else _mmap.MAP_SHARED
        return memoryview(_mmap.mmap(self.fd, length or size - offset, flags, access, offset=offset))

    def array(self, dtype="u1", shape=-1, **how):
        """The same as an array of numpy's, over the memory itself."""
        import numpy

        return numpy.frombuffer(self.map(**how), dtype=dtype).reshape(shape)

    def snapshot(self, max_copies=None, drop=False):
        if max_copies is None:
            return Object(fd=_call("object_snapshot", self.fd))
        return Object(fd=_call("object_snapshot_limited", self.fd, _u64(max_copies), ctypes.c_bool(drop)))

    def clone(self, offset=0, length=0):
        if length:
            return Object(fd=_call("object_clone_range", self.fd, _u64(offset), _u64(length)))
        return Object(fd=_call("object_clone", self.fd))

    def restore(self, snapshot, offset=0, length=0):
        if length:
            _call("object_restore_range", self.fd, snapshot.fd, _u64(offset), _u64(length), None)
        else:
            _call("object_restore", self.fd, snapshot.fd)

    def diff(self, other, offset=0, length=0):
        """The ranges that differ, one after the other: Changed."""
        return _answer("diff", lambda r: Changed(r.offset, r.length, bool(r.flags & CHANGED_HOLE)), [_Changed()],
                       self.fd, other.fd, _u64(offset), _u64(length))  # fmt: skip

    def pagemap(self, offset=0, length=0, flags=0):
        """The state of each page: Page."""
        return _answer("pagemap", lambda at, p: Page(at.value, p.flags, p.mapcount, p.referenced), [_u64(), _Page()],
                       self.fd, _u64(offset), _u64(length), flags)  # fmt: skip

    def rmap(self, offset=0, length=0, flags=0):
        """Who maps each page: Mapping."""
        return _answer("rmap", lambda m: Mapping(m.offset, m.address, m.pid, m.flags), [_Mapping()],
                       self.fd, _u64(offset), _u64(length), flags)  # fmt: skip

    def page_out(self, offset=0, length=0, flags=0):
        return _told("object_page_out", _PageOut, self.fd, _u64(offset), _u64(length), flags)

    def prefetch(self, *ranges):
        """Bring ranges, each an offset and a length, back into memory; how many pages came."""
        array = (_Range * len(ranges))(*ranges)
        return _number("object_prefetch", self.fd, array, ctypes.c_size_t(len(ranges)))

    def prefetch_to_write(self, *ranges):
        """The same, and have each page for its own, holes, too; how many pages were not so."""
        array = (_Range * len(ranges))(*ranges)
        return _number("object_prefetch_to_write", self.fd, array, ctypes.c_size_t(len(ranges)))

    def store_stat(self):
        return _told("object_store_stat", _StoreStat, self.fd)

    def store_limit(self, max_slots):
        _call("object_store_limit", self.fd, _u64(max_slots))

    def move(self, node, offset=0, length=0):
        return _told("object_move", _Move, self.fd, _u64(offset), _u64(length), node)

    def set_huge(self, huge):
        _call("object_set_huge", self.fd, huge)

    def collapse(self, offset=0, length=0):
        return _told("object_collapse", _Collapse, self.fd, _u64(offset), _u64(length))

    def poison(self, offset, length):
        return _number("object_poison", self.fd, _u64(offset), _u64(length))


def snapshot_set(*objects):
    """A snapshot of each object, all of one instant."""
    made = (_int * len(objects))()
    _call("object_snapshot_set", (_int * len(objects))(*(o.fd for o in objects)), made, len(objects))
    return [Object(fd=fd) for fd in made]
