"""What a student's process gives up before it runs the student's code.

Two walls, each of which alone keeps it from files, other processes and the network:
another user in an empty root folder (needs root), and a filter of system calls
(Linux, on x86-64 and ARM). Besides them limits on time, memory and everything that it
could fill. Stands alone, for child.py runs it without scratchnn.
"""

import ctypes
import os
import platform
import struct

try:
    import resource
except ImportError:  # Windows
    resource = None

USERS, FEW_USERS = 10_000_000, 50_000  # the first of the users that we take
WORDS = {
    "user": "a user of its own for each submission (needs root)",
    "folder": "an empty folder in place of the file system (needs root)",
    "calls": "a filter of system calls: no files, processes, signals, network",
    "processes": "a limit that lets it start no process and no thread",
    "resources": "limits on its time, memory and disk space",
}
# Linux's numbers of what Python needs to compute, to print and to read the time, on
# x86-64 and on ARM; everything else is refused.
CALLS = {
    "x86_64": (
        0xC000003E,
        "read 0 write 1 close 3 fstat 5 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12 "
        "rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 readv 19 writev 20 "
        "sched_yield 24 mremap 25 madvise 28 nanosleep 35 getpid 39 exit 60 "
        "gettimeofday 96 getrusage 98 getuid 102 getgid 104 geteuid 107 getegid 108 "
        "sigaltstack 131 gettid 186 futex 202 restart_syscall 219 clock_gettime 228 "
        "clock_getres 229 clock_nanosleep 230 exit_group 231 getrandom 318",
    ),
    "aarch64": (
        0xC00000B7,
        "read 63 write 64 close 57 fstat 80 lseek 62 mmap 222 mprotect 226 munmap 215 "
        "brk 214 rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 readv 65 "
        "writev 66 sched_yield 124 mremap 216 madvise 233 nanosleep 101 getpid 172 "
        "exit 93 gettimeofday 169 getrusage 165 getuid 174 getgid 176 geteuid 175 "
        "getegid 177 sigaltstack 132 gettid 178 futex 98 restart_syscall 128 "
        "clock_gettime 113 clock_getres 114 clock_nanosleep 115 exit_group 94 "
        "getrandom 278",
    ),
}


def apply(setting):
    """Give up what `setting` names; {protection: whether it holds}.

    setting: folder, an empty one; seconds, of computing; memory, bytes; processes,
    besides this one; walls, the names of those to put up.
    """
    walls = setting["walls"]
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    user = user_of(os.getpid()) if root else None
    held = dict.fromkeys(WORDS, False)
    held["resources"] = resource is not None and _limit(setting)
    if root and "folder" in walls:
        held["folder"] = _try(_leave, setting["folder"])
    if root and "user" in walls:
        held["user"] = _try(_become, user)
        root = not held["user"]
    die_with_parent()
    if "calls" in walls:
        held["calls"] = _try(_filter_calls)
    # That a user may have no processes does not count for root.
    held["processes"] = held["calls"] or (held["resources"] and not root)
    return held


def _try(function, *args):
    try:
        function(*args)
    except (OSError, AttributeError, KeyError, TypeError):  # not this system
        return False
    return True


def user_of(pid):
    """The user that the process `pid` becomes: unused, and no other process's."""
    try:
        with open("/proc/self/uid_map") as file:
            first, _, count = map(int, file.readline().split())
    except (OSError, ValueError):
        first, count = 0, 0
    if first + count > USERS + 2**22:  # 2**22: no process has a higher number
        return USERS + pid
    return FEW_USERS + pid % 10_000


# ---- the walls ------------------------------------------------------------------
def _leave(folder):
    os.chroot(folder)
    os.chdir("/")


def _become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _filter_calls():
    """Have the kernel refuse (EPERM) every system call but those in CALLS."""
    machine, names = CALLS[platform.machine()]
    numbers = [int(n) for n in names.split()[1::2]]
    load, equal, answer = 0x20, 0x15, 0x06  # of the kernel's little language
    allow, refuse = 0x7FFF0000, 0x00050000 | 1
    program = [(load, 0, 0, 4), (equal, 0, len(numbers) + 1, machine), (load, 0, 0, 0)]
    for k, number in enumerate(numbers):
        program.append((equal, len(numbers) - k, 0, number))
    program += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    _prctl(22, 2, header)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _prctl(option, value, pointer=None):
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(value), ctypes.c_char_p(pointer)]
    zeros = [ctypes.c_ulong(0), ctypes.c_ulong(0)]
    if library.prctl(option, *arguments, *zeros):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# ---- limits ---------------------------------------------------------------------
def _limit(setting):
    zero = "CORE", "FSIZE", "MEMLOCK", "MSGQUEUE"
    limits = dict.fromkeys(zero, 0)
    limits |= {"NPROC": setting["processes"], "NOFILE": 16}
    limits |= {"CPU": setting["seconds"], "AS": setting["memory"]}
    kinds = {name: getattr(resource, f"RLIMIT_{name}", None) for name in limits}
    # Every one is tried, though one before it failed.
    done = [_try(_set, kinds[n], limits[n]) for n in limits if kinds[n] is not None]
    return all(done)


def _set(kind, value):
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    spare = 1 if kind == resource.RLIMIT_CPU and value != hard else 0
    resource.setrlimit(kind, (value, value + spare))  # a second between XCPU and KILL


# ---- for the parent -------------------------------------------------------------
def die_with_parent():
    """Have the kernel kill this process when the one that started it ends."""
    _try(_prctl, 1, 9)  # PR_SET_PDEATHSIG


def hide_memory():
    """Keep processes of the same user from reading this one's memory."""
    return _try(_prctl, 4, 0)  # PR_SET_DUMPABLE
