"""What the command line can end with: one tree, and one table from it to exit codes.

CliError
├── UsageError             the command cannot be carried out as it was given
└── OutcomeError           it was carried out, and the answer is no
    ├── BatchReplacedError a newer version of the same key took the batch's place in latest.json
    ├── ManifestError      what was downloaded is not what the manifest says
    ├── KeyNameError       no API key has this name, or one has it already
    ├── ServiceError       AWS refused, or could not be reached
    └── ApiCallError       the HTTP API does not do what it was asked for
        ├── UnknownKeyError    401: it does not know the API key
        ├── NoSuchThingError   404: there is no such thing for the owner of the key
        └── UnavailableError   no connection, no whole answer, 5xx: the same call may work later
            └── RateLimitError     429: this key calls too often
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How `slacktide` ends."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class CliError(Exception):
    """The message says what is wrong, where, and what to do."""


class UsageError(CliError):
    """The command cannot be carried out as it was given."""


class OutcomeError(CliError):
    """The command was carried out, and the answer is no."""


class BatchReplacedError(OutcomeError):
    """The input's status now shows another batch, because its key was written again."""


class ManifestError(OutcomeError):
    """The manifest is missing, or the downloaded results are not those that it names."""


class KeyNameError(OutcomeError):
    """The name of an API key is in use, or nobody has it."""


class ServiceError(OutcomeError):
    """AWS refused a call, or could not be reached."""


class ApiCallError(OutcomeError):
    """The HTTP API does not do what it was asked for."""


class UnknownKeyError(ApiCallError):
    """The HTTP API does not know the API key, or it was revoked."""


class NoSuchThingError(ApiCallError):
    """There is no such thing, or it belongs to somebody else."""


class UnavailableError(ApiCallError):
    """The HTTP API cannot be reached, fails, or breaks off; the same call may work later."""

    def __init__(self, message: str, *, after: int | None = None) -> None:
        """`after` is in how many seconds, where the API says so."""
        super().__init__(message)
        self.after = after


class RateLimitError(UnavailableError):
    """This key calls too often."""


EXIT_CODES: dict[type[CliError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    OutcomeError: ExitCode.FAILED,
    BatchReplacedError: ExitCode.FAILED,
    ManifestError: ExitCode.FAILED,
    KeyNameError: ExitCode.FAILED,
    ServiceError: ExitCode.FAILED,
    ApiCallError: ExitCode.FAILED,
    UnknownKeyError: ExitCode.FAILED,
    NoSuchThingError: ExitCode.FAILED,
    UnavailableError: ExitCode.FAILED,
    RateLimitError: ExitCode.FAILED,
}
