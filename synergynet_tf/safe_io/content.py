"""File content and file names, whatever the path leads to."""

from __future__ import annotations

import pathlib
import stat
import unicodedata

# Largest file that is read whole: an uncompressed scan may have as many bytes.
MAX_BYTES = 2**32
# Control characters, halves of surrogate pairs, and breaks of lines and paragraphs.
UNFIT = {"Cc", "Cs", "Zl", "Zp"}
# Controls that turn the direction of all the text behind them.
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def require_file(path: str | pathlib.Path) -> int:
    """Returns the size of a file in bytes.

    Raises:
        OSError: If it is not there, or no file: opening a pipe may never end, nor
            reading a device.
    """
    status = pathlib.Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{path} is a folder, not a file; replace it")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no file, but a pipe or a device; replace it")
    return status.st_size


def read_content(path: str | pathlib.Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a file whole.

    Raises:
        OSError: In the cases of `require_file`, or if it cannot be read.
        ValueError: If it has more than `max_bytes`.
    """
    if require_file(path) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return pathlib.Path(path).read_bytes()


def is_plain(text: str) -> bool:
    r"""Tells whether a text can be printed in a line and written as UTF-8.

    Spaces and joiners of any script can: systems and people put them into names.

    Example:
    >>> is_plain("3.15\u202fPM"), is_plain("a\u3000b"), is_plain("a\nb")
    (True, True, False)
    """
    return not any(unicodedata.category(c) in UNFIT or c in TURNING for c in text)


def composed(text: str) -> str:
    """Returns a name with each letter and its accent as one character: Unicode's NFC.

    Systems differ in how they write file names; so do tables and lists of them.
    """
    return unicodedata.normalize("NFC", text)


def require_plain_name(path: pathlib.Path) -> None:
    """Refuses a file name that cannot be printed or written as text.

    Raises:
        ValueError: If it has control characters, or is not UTF-8.
    """
    if not is_plain(path.name):
        raise ValueError(
            f"{str(path)!a} has a name with control characters, or that is not UTF-8; "
            "rename it"
        )


def is_of_the_file(error: Exception) -> bool:
    """Tells whether an error that a library has raised means that a file is damaged.

    Libraries raise many types for damaged files. Not among them: a lack of memory, a
    warning that was made an error, and errors of the system, which have a number.
    """
    if isinstance(error, MemoryError | Warning):
        return False
    return not getattr(error, "errno", None)
