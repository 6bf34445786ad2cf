"""What the command line can end with: one tree, and one table from it to exit codes.

CliError
├── UsageError             the command cannot be carried out as it was given
└── OutcomeError           it was carried out, and the answer is no
    ├── BatchReplacedError a newer version of the same key took the batch's place in latest.json
    ├── ManifestError      what was downloaded is not what the manifest says
    └── ServiceError       AWS refused, or could not be reached
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


class ServiceError(OutcomeError):
    """AWS refused a call, or could not be reached."""


EXIT_CODES: dict[type[CliError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    OutcomeError: ExitCode.FAILED,
    BatchReplacedError: ExitCode.FAILED,
    ManifestError: ExitCode.FAILED,
    ServiceError: ExitCode.FAILED,
}
