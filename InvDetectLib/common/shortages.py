"""What a machine has too little of, told from an error: memory, threads, open files, room on a disk."""

from __future__ import annotations

import errno

# Python and torch have exceptions for some of it; allocators, loaders of libraries and what lies below torch only say it in words.
_MEMORY: tuple[str, ...] = ("out of memory", "allocate memory", "unable to allocate", "not enough memory", "alloc_failed", "bad_alloc")
_MEMORY += ("create a primitive", "create a memory object", "failed to map segment", "start new thread", "multithreader")
_NO_MEMORY = "There is not enough memory for this; close other programs, or use smaller or fewer scans."
_OTHERS = {
    errno.EMFILE: "Too many files are open at once; allow more of them (ulimit -n), or close other programs.",
    errno.ENOSPC: "The disk is full; make room, or choose another folder.",
    errno.EFBIG: "A file may not become as large as it has to be; allow larger ones (ulimit -f), or choose another folder.",
}
_OTHERS[errno.ENFILE] = _OTHERS[errno.EMFILE]
_OTHERS[getattr(errno, "EDQUOT", errno.ENOSPC)] = _OTHERS[errno.ENOSPC]


def is_shortage(error: BaseException) -> bool:
    """Whether `error` says that the memory of a device, or of the machine, was not enough."""
    if type(error).__module__ == "pyo3_runtime":  # a panic of safetensors, which is no Exception, where Python has no room for an object
        return True
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.EAGAIN)):
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and any(words in str(error).lower() for words in _MEMORY)


def shortage(error: BaseException) -> str:
    """What the machine has too little of, and the remedy, as a sentence; "" for an error that says nothing of the kind."""
    if is_shortage(error):
        return _NO_MEMORY
    return _OTHERS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
