"""Every error a user can meet.

LdmbenchError                 base; `exit_code` is what the door returns
|-- InputError                the user's input is wrong (also a ValueError)             exit 2
|   |-- SuiteError            all errors of one suite file, gathered in one pass        exit 2
|   `-- UnlikeError           things with different signatures were to be compared      exit 2
|-- InconclusiveError         too few samples, too noisy, nothing measured              exit 3
|-- StoreError                the store fails under way (full disk, damage)             exit 4
|-- StageError                a stage failed; its cells are reported as failed          exit 4
`-- InterruptError            Ctrl-C; everything committed so far is kept               exit 130
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
)
"""What torch and NVIDIA's libraries say, where the kind of their error does not."""


class LdmbenchError(Exception):
    """Base of all errors that are shown to a user without a traceback."""

    exit_code = 5


class InputError(LdmbenchError, ValueError):
    """The user's input is wrong: says the place, what was found and what is allowed."""

    exit_code = 2


class SuiteError(InputError):
    """All errors of one suite file.

    Args:
        problems: one line each, with file, line, path, what was found and what is allowed.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class UnlikeError(InputError):
    """Two numbers with different signatures were to be compared."""


class InconclusiveError(LdmbenchError):
    """Too few samples, too noisy, or nothing measured."""

    exit_code = 3


class StoreError(LdmbenchError):
    """The store cannot be read or written, though it could be opened."""

    exit_code = 4


class StageError(LdmbenchError):
    """A stage failed; the cells that need it are reported as failed."""

    exit_code = 4


class InterruptError(LdmbenchError):
    """The user pressed Ctrl-C; committed stages and checkpoints are kept."""

    exit_code = 130


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then what it was raised from, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, of the machine or of its device."""
    return any(
        isinstance(one, MemoryError)
        or type(one).__name__ == "OutOfMemoryError"
        or any(words in str(one) for words in OUT_OF_MEMORY)
        for one in causes(error)
    )
