"""What the stand-in answers when it refuses.

ApiError         an error of the API, in AWS JSON 1.1: `{"__type": code, "message": …}`
  ├─ validation  (ValidationException, 400)
  └─ …           the codes of each operation in the API model: ResourceInUse, ResourceLimitExceeded, ResourceNotFound
JobFailed        a transform job that was accepted and ends as Failed; its text is the FailureReason
"""


class ApiError(Exception):
    """A refused call: code and message as boto3 shows them, and the HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class JobFailed(Exception):  # noqa: N818 - it names the job status that it leads to
    """The job ends as Failed, with this text as its FailureReason."""


def validation(message: str) -> ApiError:
    """The error for a request that breaks a rule (Common Errors, `ValidationException`, 400)."""
    return ApiError("ValidationException", message)


def not_found() -> ApiError:
    """The error for a transform job that does not exist (`ResourceNotFound` of Describe and StopTransformJob)."""
    return ApiError("ResourceNotFound", "Requested resource not found.")
