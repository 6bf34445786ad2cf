"""Which call a request is: one table."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slacktide_fake_together import batches, control, files, identity
from slacktide_fake_together.messages import Reply

Handler = Callable[..., Reply]
_placeholder = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One call: its method, its path, its name in the ledger and in fault scripts, and who answers it."""

    method: str
    pattern: re.Pattern[str]
    call: str
    handler: Handler

    @property
    def is_control(self) -> bool:
        return self.call == "control"

    @property
    def needs_key(self) -> bool:
        """Storage is reached by signature, control by whoever reaches the server."""
        return not self.is_control and not self.pattern.pattern.startswith(files.STORAGE)


def _route(method: str, path: str, call: str, handler: Handler) -> Route:
    return Route(method, re.compile(_placeholder.sub(r"(?P<\1>[^/]+)", path)), call, handler)


def _api(root: str) -> list[Route]:
    """The calls that both dialects have."""
    return [
        _route("GET", f"{root}/files", "list_files", files.list_files),
        _route("GET", f"{root}/files/{{file_id}}", "get_file", files.get_file),
        _route("DELETE", f"{root}/files/{{file_id}}", "delete_file", files.delete_file),
        _route("GET", f"{root}/files/{{file_id}}/content", "content", files.get_content),
        _route("POST", f"{root}/batches", "create", batches.create_batch),
        _route("GET", f"{root}/batches", "list_batches", batches.list_batches),
        _route("GET", f"{root}/batches/{{batch_id}}", "get_batch", batches.get_batch),
        _route("POST", f"{root}/batches/{{batch_id}}/cancel", "cancel", batches.cancel_batch),
    ]


ROUTES = [
    _route("POST", "/v1/files", "upload_url", files.request_upload),
    _route("POST", "/v1/files/upload", "upload", files.upload_file),
    _route("POST", "/v1/files/{file_id}/preprocess", "preprocess", files.preprocess_file),
    *_api("/v1"),
    _route("GET", "/v3/whoami", "whoami", identity.tell_identity),
    _route("POST", f"{batches.OPENAI_ROOT}/files", "upload", files.upload_file),
    *_api(batches.OPENAI_ROOT),
    _route("PUT", f"{files.STORAGE}{{file_id}}", "put", files.store_content),
    _route("GET", f"{files.STORAGE}{{file_id}}", "content", files.fetch_content),
    _route("POST", f"{control.CONTROL}faults", "control", control.script_faults),
    _route("GET", f"{control.CONTROL}faults", "control", control.export_faults),
    _route("DELETE", f"{control.CONTROL}faults", "control", control.clear_faults),
    _route("GET", f"{control.CONTROL}ledger", "control", control.export_ledger),
    _route("POST", f"{control.CONTROL}run-out", "control", control.run_out_batches),
    _route("GET", f"{control.CONTROL}settings", "control", control.export_settings),
    _route("POST", f"{control.CONTROL}settings", "control", control.change_settings),
    _route("POST", f"{control.CONTROL}keys", "control", control.rotate_keys),
    _route("GET", "/health", "control", control.answer_health),
]


def find_route(method: str, path: str) -> tuple[Route, dict[str, Any]] | None:
    """The route of a request, and the handler's named arguments from its path."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict()
    return None
