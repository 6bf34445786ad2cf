"""The errors that Slacktide raises. Expected outcomes are values, not errors: an exception means "try again, then give up".

SlacktideError
├── SettingsError        the environment of a function lacks a variable or holds a bad one
├── EventError           an event that is not one we know (goes to the input failures queue)
├── ModelTableError      the model table does not say what it must
├── RecordError          the table of records
│   ├── NotFoundError    no such batch or job
│   ├── ConflictError    somebody else changed the record first
│   └── TransitionError  a batch status may not follow on the one that the batch has
├── LeaseHeldError       somebody else is at this piece of work, and its lease is not over
├── BackendError         a backend did not answer, or not as it must; the message is our own words and the status
│   ├── NotSentError     nothing was sent to it
│   │   └── ApiKeyError  because there is no usable API key
│   └── NoAnswerError    something was sent, and no whole answer came back in time
└── ObjectMissingError   an object of the bucket that must be there is not
"""


class SlacktideError(Exception):
    """The root of all errors that Slacktide raises."""


class SettingsError(SlacktideError):
    """The environment lacks variables or holds bad ones; the message names all of them."""


class EventError(SlacktideError):
    """An event that this function does not know. The message never quotes the event's content."""


class ModelTableError(SlacktideError):
    """The model table is not well-formed; the message says where."""


class RecordError(SlacktideError):
    """A record of the table is not as it must be."""


class NotFoundError(RecordError):
    """There is no record of that id."""


class ConflictError(RecordError):
    """A conditional write found the record changed by somebody else."""


class TransitionError(RecordError):
    """A batch cannot take this status from the one that it has."""


class LeaseHeldError(SlacktideError):
    """Another invocation holds the lease of this piece of work; come again after `until` (Unix seconds)."""

    def __init__(self, what: str, until: int) -> None:
        super().__init__(f"{what} is being worked on until {until}")
        self.until = until


class ObjectMissingError(SlacktideError):
    """An object that must be in the bucket is not there."""


class BackendError(SlacktideError):
    """A backend did not answer, or not as it must. The message never quotes it: our own words and the HTTP status."""


class NotSentError(BackendError):
    """Nothing reached the backend, so nothing happened there."""


class ApiKeyError(NotSentError):
    """The API key of a backend cannot be read, or is none. The message never quotes it."""


class NoAnswerError(BackendError):
    """Something was sent to the backend, and no whole answer came: it may have acted on it or not."""
