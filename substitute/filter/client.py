"""Client of the filter, run once per executable: answers from the cache, asks the worker, or does the work itself.

It is loaded without the package and without Python's `site`, and imports next to nothing: see `command.py`. It is one
file, long as it is, since each further one would be looked for and loaded once per executable.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as _Socket

PROTOCOL = b"1"
"""Version of requests, replies and cache entries."""
UNCHANGED, CHANGED, FAILED, OUTDATED, WAIT = b"U", b"C", b"E", b"R", b"."
"""First byte of a reply. A worker that is busy with other executables sends `WAIT` from time to time."""
NAME = "iree-substitute-executable"
TIMEOUT_S = 120.0
START_S = 30.0
"""Time within which a worker has to listen."""
MOST_STARTS = 5
SILENCE_S = 60.0
"""Time for which a worker that does not work on this executable may send nothing."""


UNTOLD = (b"iree-hal-preprocess-", b"iree-hal-dump-", b"iree-hal-list-")
"""Prefixes of flags of the compiler that change no code."""
EVALUATION = b"""{
 "executable": "%b",
 "changed": false,
 "schema": 1,
 "substitutions": [],
 "unsubstituted": [],
 "reason": "IREE runs it itself, once, to evaluate constants; it is not in the module"
}
"""
"""Report of an executable that is left unchanged without being read."""
NOTHING_FITS = b"""{
 "executable": "%b",
 "changed": false,
 "schema": 1,
 "substitutions": [],
 "unsubstituted": [],
 "reason": "no kernel can take it: each needs something that its text does not have",
 "kernels": [%b
 ]
}
"""
"""Report of an executable that the prefilter rejects."""


class Arguments:
    """Arguments that the client itself reads; the worker reads and checks all of them."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.help = bool({"-h", "--help", "--version"}.intersection(words))
        self.cache = "--no-cache" not in words
        self.worker = "--no-worker" not in words
        self.report_dir = value_of(words, "--report-dir")
        try:
            self.timeout_s = float(value_of(words, "--timeout") or TIMEOUT_S)
        except ValueError:
            self.timeout_s = TIMEOUT_S


def read_compiler_flags() -> list[str]:
    """Return the flags of the compiler that started this process, those about code, as options of the filter."""
    try:
        tool, *words = read_file(b"/proc/%d/cmdline" % posix.getppid()).split(b"\0")
    except OSError:
        return []
    if tool.rpartition(b"/")[2] not in (b"iree-compile", b"iree-opt"):
        return []
    flags = [word.lstrip(b"-") for word in words if word[:1] == b"-"]
    kept = [flag for flag in flags if flag.startswith(b"iree-") and not flag.startswith(UNTOLD)]
    return ["--compiler-flag=--" + flag.decode(*RAW) for flag in kept]


def value_of(words: list[str], option: str) -> str:
    """Return the last value of an option, spelled `--option VALUE` or `--option=VALUE`; empty if it is absent."""
    value = ""
    for at, word in enumerate(words):
        if word == option and at + 1 < len(words):
            value = words[at + 1]
        elif word.startswith(option + "="):
            value = word[len(option) + 1 :]
    return value


def read_all(descriptor: int) -> bytes:
    """Read a file descriptor to its end."""
    parts = []
    size = max(65536, posix.fstat(descriptor).st_size + 1)
    while part := posix.read(descriptor, size):
        parts.append(part)
    return b"".join(parts)


def read_file(path: bytes) -> bytes:
    """Return a file's contents. Raises `OSError`."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return read_all(descriptor)
    finally:
        posix.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[posix.write(descriptor, view) :]


def replace_file(path: bytes, data: bytes) -> None:
    """Write a file whole or not at all. Raises `OSError`."""
    folder, _, name = path.rpartition(b"/")
    temporary = b"%b/.%b.%d" % (folder, name, posix.getpid())
    try:
        descriptor = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
        try:
            write_all(descriptor, data)
        finally:
            posix.close(descriptor)
        posix.rename(temporary, path)
    except OSError:
        try:
            posix.unlink(temporary)
        except OSError:
            pass  # there was no room even for that name
        raise


def make_folders(path: bytes) -> None:
    """Make the folder and its parents. Raises `OSError`."""
    try:
        posix.mkdir(path)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folders(path.rpartition(b"/")[0])
        posix.mkdir(path)


def digest_of(*parts: bytes) -> bytes:
    """Return the digest of the concatenated parts, as 64 hexadecimal digits."""
    from _blake2 import blake2b  # `hashlib` would load OpenSSL

    state = blake2b(digest_size=32)
    for part in parts:
        state.update(part)
    return state.hexdigest().encode()


def cache_folder() -> bytes:
    """Return the folder of kept results; empty if the environment names none."""
    home = posix.environ.get(b"XDG_CACHE_HOME", b"")
    if not home.startswith(b"/"):
        home = posix.environ.get(b"HOME", b"")
        if not home.startswith(b"/"):
            return b""
        home += b"/.cache"
    return home + b"/iree-substitute/filter-" + PROTOCOL


def identity(words: list[str]) -> bytes:
    """Return a digest of everything that a result depends on besides the text and the files: program, environment,
    arguments.
    """
    names = (b"PYTHONPATH", b"XDG_CACHE_HOME", b"HOME", b"PATH")
    program = [PROTOCOL, sys.executable.encode(), sys.version.encode()]
    surroundings = [posix.environ.get(name, b"") for name in names]
    return digest_of(b"\0".join([*program, *surroundings, posix.getcwdb(), *(w.encode(*RAW) for w in words)]))


RAW = ("utf-8", "surrogateescape")
"""Encoding in which Python represents arguments that are not UTF-8."""


def stamp_path(cache: bytes, identity: bytes) -> bytes:
    """Return the path of the stamp that describes the kernels of these arguments."""
    return b"%b/catalogs/%b" % (cache, identity)


class Catalog:
    """Facts about the kernels that an earlier worker stored."""

    def __init__(self, digest: bytes, prefilter: "list[list[bytes]] | None") -> None:
        self.digest = digest
        """Digest of the kernels' contents; empty if unknown."""
        self.prefilter = prefilter
        """Alternatives, each a kernel's name and the texts without which it takes no executable; None if unknown."""


def read_catalog(stamp: bytes) -> Catalog:
    """Return the facts about the kernels, unless one of the files they were derived from has changed."""
    unknown, prefilter = Catalog(b"", None), None
    try:
        own, digest, rest = read_file(stamp).split(b"\n", 2)
        if digest_of(digest, rest) != own:
            return unknown
        for line in rest.splitlines():
            if line[:1] == b"?":
                prefilter = (prefilter or []) + ([line[1:].split(b"\t")] if line != b"?" else [])
                continue
            modified, size, inode, path = line.split(b" ", 3)
            found = posix.stat(path)
            if (found.st_mtime_ns, found.st_size, found.st_ino) != (int(modified), int(size), int(inode)):
                return unknown
        return Catalog(digest, prefilter)
    except (OSError, ValueError):
        return unknown


def reject_text(data: bytes, catalog: Catalog) -> bytes:
    """Return the report for an executable whose text lacks a word of every kernel; empty if that is not certain.

    Words are only searched in plain text, in which each appears literally: complete, one executable, without escapes
    and without constructs that are errors in any case. It may still be invalid MLIR, which IREE will report.
    """
    plain = data.isascii() and b"\\" not in data and b"\0" not in data and b"dense_resource<" not in data
    one = data.count(b"hal.executable ") == 1 and b"hal.executable.variant " in data
    if catalog.prefilter is None or not plain or not one or data.count(b"{") != data.count(b"}"):
        return b""
    lines = []
    for kernel, *words in catalog.prefilter:
        missing = [word for word in words if word not in data]
        if not missing:
            return b""
        word = missing[0].replace(b'"', b'\\"')
        lines.append(b'\n  {"kernel": "%b", "missing": "%b"}' % (kernel, word))
    return NOTHING_FITS % (executable_name(data).encode(), b",".join(lines))


class Entry:
    """A result in the cache."""

    def __init__(self, kind: bytes, report_name: bytes, report: bytes, body: bytes) -> None:
        self.kind = kind
        self.report_name = report_name
        self.report = report
        self.body = body
        """Changed executable; empty for an unchanged one."""


def entry_path(cache: bytes, catalog: bytes, data: bytes) -> bytes:
    """Return the path of the result for this text and these kernels."""
    key = digest_of(catalog, data)
    return b"%b/results/%b/%b" % (cache, key[:2], key[2:])


def read_entry(path: bytes) -> Entry | None:
    """Return a result if it is present and complete and the files that it refers to are unchanged; else None."""
    try:
        own, rest = read_file(path).split(b"\n", 1)
        if digest_of(rest) != own:
            posix.unlink(path)
            return None
        head, rest = rest.split(b"\n", 1)
        kind, objects, length, report_name = head.split(b" ", 3)
        for _ in range(int(objects)):
            line, rest = rest.split(b"\n", 1)
            digest, file = line.split(b" ", 1)
            if digest_of(read_file(file)) != digest:
                return None
            posix.utime(file)  # keep it from being pruned: it is in use
        return Entry(kind, report_name, rest[: int(length)], rest[int(length) :])
    except (OSError, ValueError):
        return None


def started_at(process: int) -> bytes:
    """Return the start time of a process, which distinguishes it from a later one with the same id. Raises
    `OSError`.
    """
    # the program's name stands in parentheses and may hold anything; the 20th field after it is the time
    return read_file(b"/proc/%d/stat" % process).rpartition(b")")[2].split()[19]


def private_folder() -> bytes:
    """Return a folder that only this user can read or write. Raises `OSError`."""
    name = b"/iree-substitute-%d" % posix.getuid()
    failure: OSError = FileNotFoundError("no folder for temporary files")
    for base in (posix.environ.get(b"XDG_RUNTIME_DIR"), b"/tmp", posix.environ.get(b"TMPDIR")):
        if not base or not base.startswith(b"/") or len(base) > 40:  # a socket's path has room for 107 bytes
            continue
        try:
            try:
                posix.mkdir(base + name, 0o700)
            except FileExistsError:
                pass
            found = posix.lstat(base + name)
            # a folder (and no link) of this user with no rights for others
            if found.st_uid == posix.getuid() and found.st_mode & 0o170077 == 0o040000:
                return base + name
        except OSError as error:
            failure = error
    raise failure


class Answer:
    """Reply of a worker."""

    def __init__(self, kind: bytes, body: bytes) -> None:
        self.kind = kind
        self.body = body


def ask_worker(arguments: Arguments, data: bytes, catalog: bytes) -> Answer | None:
    """Send the executable to the worker of this compiler process; start one if there is none.

    Return None if no worker can be started, or if it ended without a reply.
    """
    parent = posix.getppid()
    if parent <= 1:
        return None  # the caller has ended, or is in another namespace: there is no process to watch
    try:
        from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

        start = started_at(parent)
        path = _socket_path(parent, start)
        head = b"\0".join([posix.getcwdb(), catalog, *(word.encode(*RAW) for word in arguments.words)])
        request = b"%b%08x%016x%b" % (PROTOCOL, len(head), len(data), head)
        for _ in range(2):  # an idle worker may end just as it is asked
            line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
            try:
                if not _connect(line, path, arguments, parent, start, data):
                    return None
                line.settimeout(arguments.timeout_s + SILENCE_S)
                line.sendall(request)
                line.sendall(data)
                answer = _receive(line)
            except ConnectionError:
                continue
            finally:
                line.close()
            if answer is not None and answer.kind != OUTDATED:
                return answer
    except (OSError, ValueError, ImportError):
        pass  # the work is done without it
    return None


def _socket_path(parent: int, start: bytes) -> bytes:
    return private_folder() + b"/%d-%b-%b" % (parent, start, identity([])[:12])


def warm_up(arguments: Arguments, data: bytes) -> None:
    """Start the worker of this compiler process, without waiting for it, if there is none."""
    try:
        parent = posix.getppid()
        if parent > 1:
            start = started_at(parent)
            path = _socket_path(parent, start)
            try:
                posix.stat(path + b".lock")
            except FileNotFoundError:
                _start_worker(path, arguments, parent, start, data)
    except (OSError, ImportError):
        pass  # the next executable reports it


def _receive(line: "_Socket") -> Answer | None:
    receive = line.recv
    while (kind := receive(1)) == WAIT:
        pass
    length, body = b"", bytearray()
    while kind and len(length) < 16:
        part = receive(16 - len(length))
        if not part:
            return None
        length += part
    size = int(length or b"0", 16)
    while len(body) < size:
        part = receive(min(size - len(body), 1 << 20))
        if not part:
            return None
        body += part
    return Answer(kind, bytes(body)) if kind else None


def _connect(line: "_Socket", path: bytes, arguments: Arguments, parent: int, start: bytes, data: bytes) -> bool:
    import time

    deadline, worker, started = time.monotonic() + START_S, 0, 0
    while time.monotonic() < deadline:
        try:
            line.connect(path)
            return True
        except (FileNotFoundError, ConnectionError):
            if not worker:
                if started == MOST_STARTS or started_at(parent) != start:
                    return False
                worker, started = _start_worker(path, arguments, parent, start, data), started + 1
            elif posix.waitpid(worker, posix.WNOHANG)[0]:
                worker = 0  # another worker was faster, or is just ending
                time.sleep(0.02 * started)
                continue
        except BlockingIOError:
            pass  # its queue is full
        time.sleep(0.002)
    return False


def _start_worker(path: bytes, arguments: Arguments, parent: int, start: bytes, data: bytes) -> int:
    """Start a worker in its own session, with none of this process's files; return its process id."""
    null = [(posix.POSIX_SPAWN_OPEN, fd, b"/dev/null", posix.O_RDWR, 0) for fd in range(3)]
    backend = data.partition(b'target(<"')[2][:64].partition(b'"')[0]
    words = [sys.executable.encode(), b"-P", b"-m", b"substitute.filter.worker", path, b"%d" % parent, start, backend]
    argv = [*words, *(word.encode(*RAW) for word in arguments.words)]
    return posix.posix_spawn(argv[0], argv, posix.environ, file_actions=null, setsid=True)


def run_inline(arguments: Arguments, data: bytes) -> None:
    """Replace this process by an interpreter that does the work without a worker; never returns."""
    memory = posix.memfd_create("executable")
    write_all(memory, data)
    posix.lseek(memory, 0, 0)
    posix.dup2(memory, 0)
    argv = [sys.executable, "-P", "-m", "substitute.filter.inline", *arguments.words]
    posix.execve(sys.executable, argv, posix.environ)


def executable_name(data: bytes) -> str:
    """Return the symbol that the text defines, for messages; empty if it defines none."""
    start = data.find(b"@", 0, 4096)
    if start < 0:
        return ""
    rest = data[start + 1 : start + 513]
    raw = rest[1:].partition(b'"')[0] if rest[:1] == b'"' else rest.partition(b" ")[0]
    return "".join(c for c in raw.decode("utf-8", "replace") if c.isprintable())


def file_name(name: str) -> str:
    """Return a file name for a symbol; different symbols have different names."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-.$") else "_" for c in name)
    if plain == name and 0 < len(plain) <= 120 and plain[0] not in ".-":
        return plain
    return plain[:100].lstrip(".-") + "-" + digest_of(name.encode(*RAW)).decode()[:8]


def is_evaluation(name: str) -> bool:
    """Return True for an executable that IREE compiles to evaluate constants, and never puts into the module."""
    head, _, tail = name.partition("_dispatch_")
    numbered = head == "jit_eval" or (head[:9] == "jit_eval_" and head[9:].isdigit())
    return numbered and tail.isdigit()


def fail(arguments: Arguments, message: str, data: bytes = b"", status: int = 1) -> int:
    """Report an error at every place a user may look, since IREE hides a tool's stderr; return the exit status."""
    text = (f"{NAME}: error: {message.rstrip()}\n").encode("utf-8", "replace")
    try:
        write_all(2, text)
    except OSError:
        pass  # closed
    if arguments.report_dir:
        folder = arguments.report_dir.encode(*RAW)
        try:
            make_folders(folder)
            replace_file(folder + b"/" + file_name(executable_name(data)).encode() + b".error.txt", text)
        except OSError as error:
            text += f"{NAME}: and {arguments.report_dir} cannot be written: {error.strerror}\n".encode()
    _tell_parent(text)
    return status


def _tell_parent(text: bytes) -> None:
    """Write to the stderr of the calling process, if that does no damage.

    A terminal and a pipe always accept it, a file only if it is open for appending: otherwise its next line would
    overwrite ours.
    """
    append, kinds = 0o2000, (0o010000, 0o020000, 0o100000)  # a pipe, a character device, a file
    try:
        parent = posix.getppid()
        path = b"/proc/%d/fd/2" % parent
        theirs, ours = posix.stat(path), posix.fstat(2)
        if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino) or theirs.st_mode & 0o170000 not in kinds:
            return
        flags = read_file(b"/proc/%d/fdinfo/2" % parent).partition(b"flags:\t")[2].split()[0]
        regular = theirs.st_mode & 0o170000 == 0o100000
        if regular and not int(flags, 8) & append:
            return
        mode = posix.O_WRONLY | posix.O_NOCTTY | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_APPEND
        descriptor = posix.open(path, mode)
        try:
            if regular or theirs.st_mode & 0o170000 == 0o010000 or posix.isatty(descriptor):
                posix.write(descriptor, text)
        finally:
            posix.close(descriptor)
    except (OSError, ValueError, IndexError):
        pass  # a file of another user, or closed


def write_report(arguments: Arguments, name: bytes, report: bytes) -> None:
    """Write the report of one executable. Raises `OSError`."""
    folder = arguments.report_dir.encode(*RAW)
    make_folders(folder)
    replace_file(folder + b"/" + name, report)


def finish(arguments: Arguments, data: bytes, output: bytes) -> int:
    """Write the whole result or nothing; return the exit status."""
    try:
        write_all(1, output)
        return 0
    except OSError as error:
        try:
            posix.ftruncate(1, 0)
        except OSError:
            pass  # a pipe; the exit status reports that the output is incomplete
        return fail(arguments, f"the result could not be written: {error.strerror}", data)


def main() -> int:
    """Answer from the cache, through the worker, or in this process; return the exit status."""
    arguments = Arguments([*read_compiler_flags(), *sys.argv[1:]])
    if arguments.help:
        run_inline(arguments, b"")
    data = read_all(0)
    cache = cache_folder() if arguments.cache else b""
    catalog = read_catalog(stamp_path(cache, identity(arguments.words))) if cache else Catalog(b"", None)
    entry: Entry | None = None
    if is_evaluation(name := executable_name(data)):
        if arguments.worker and not catalog.digest:
            warm_up(arguments, data)
        entry = Entry(UNCHANGED, b"%b.json" % name.encode(), EVALUATION % name.encode(), b"")
    elif catalog.digest:
        entry = read_entry(entry_path(cache, catalog.digest, data))
        if entry is None and (report := reject_text(data, catalog)):
            entry = Entry(UNCHANGED, file_name(name).encode() + b".json", report, b"")
    if entry is not None:
        if arguments.report_dir:
            try:
                write_report(arguments, entry.report_name, entry.report)
            except OSError as error:
                return fail(arguments, f"{arguments.report_dir} cannot be written: {error.strerror}", data)
        return finish(arguments, data, data if entry.kind == UNCHANGED else entry.body)
    answer = ask_worker(arguments, data, catalog.digest) if arguments.worker else None
    if answer is None:
        run_inline(arguments, data)
        return 1  # not reached
    if answer.kind == FAILED:
        return fail(arguments, answer.body[2:].decode("utf-8", "replace"), data, int(answer.body[:2], 16))
    return finish(arguments, data, data if answer.kind == UNCHANGED else answer.body)


if __name__ == "__main__":
    sys.exit(main())
