"""What can go wrong with the local cloud.

LocalCloudError
├── StartFailedError      a process of it ended, or did not answer
├── BuildFailedError      `sam build` failed
├── DeployFailedError     the stack was refused or did not come up
├── NotConnectedError     the hosted backend that was asked for cannot be used
└── NotRunningError       there is none in this state directory, or it is ill
"""

from slacktide_local.processes import Process


class LocalCloudError(Exception):
    """The local cloud cannot do what was asked; the message says what, where, and what to do."""


class StartFailedError(LocalCloudError):
    """A process of the local cloud ended, or did not answer in time."""

    @classmethod
    def of(cls, process: Process, what: str) -> "StartFailedError":
        """Say what happened to the process, with the end of its log."""
        return cls(f"{process.name} {what}. The end of {process.log}:\n{process.tail() or '(empty)'}")


class BuildFailedError(LocalCloudError):
    """The template's functions and layers could not be built."""


class DeployFailedError(LocalCloudError):
    """CloudFormation refused the template, or a resource of it failed."""


class NotConnectedError(LocalCloudError):
    """The local cloud cannot be connected to the hosted backend that was asked for."""


class NotRunningError(LocalCloudError):
    """No healthy local cloud belongs to this state directory."""
