"""What a call of OpenAI's client is refused with, as its user catches it."""

from collections.abc import Callable
from typing import Any

import openai


def refusal_of(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """The class of the client's error and its code; `nothing` when the call is answered."""
    try:
        call(*arguments, **named)
    except openai.APIStatusError as error:
        return f"{type(error).__name__} {error.code}"
    return "nothing"
