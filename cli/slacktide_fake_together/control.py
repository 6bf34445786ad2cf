"""The calls that steer the fake: they need no key, and are in no ledger."""

from typing import Any

import msgspec

from slacktide_fake_together.faults import read_faults
from slacktide_fake_together.messages import ApiError, Reply, Request, read_json, reply_json
from slacktide_fake_together.progress import run_out
from slacktide_fake_together.service import Service
from slacktide_fake_together.settings import Settings

CONTROL = "/_control/"


def script_faults(service: Service, request: Request) -> Reply:
    """Add one fault or a list of them; all or none."""
    try:
        faults = read_faults(msgspec.json.decode(request.body))
    except msgspec.MsgspecError as error:
        raise ApiError(400, f"The faults are wrong: {error}", code="invalid_faults") from error
    service.faults.add(faults, service.clock())
    return export_faults(service, request)


def export_faults(service: Service, _: Request) -> Reply:
    return reply_json(service.faults.export())


def clear_faults(service: Service, request: Request) -> Reply:
    service.faults.clear()
    return export_faults(service, request)


def export_ledger(service: Service, _: Request) -> Reply:
    return reply_json(service.ledger.export())


def export_settings(service: Service, _: Request) -> Reply:
    """The settings, without the keys."""
    settings: dict[str, Any] = msgspec.to_builtins(service.settings)
    return reply_json({name: value for name, value in settings.items() if name != "keys"})


def change_settings(service: Service, request: Request) -> Reply:
    """Replace some settings: `{"lines_per_second": 100}`."""
    changes = read_json(request)
    try:
        service.settings = msgspec.convert({**msgspec.to_builtins(service.settings), **changes}, Settings)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"The settings are wrong: {error}", code="invalid_settings") from error
    if "keys" in changes:
        service.keys = set(service.settings.keys)
    return export_settings(service, request)


def rotate_keys(service: Service, request: Request) -> Reply:
    """`{"keys": [...]}`: from now on these are good, and no others."""
    keys = read_json(request).get("keys")
    if not isinstance(keys, list):
        raise ApiError(400, "keys must be a list of texts.", code="invalid_keys")
    service.keys = {str(key) for key in keys}
    return reply_json({"keys": len(service.keys)})


def run_out_batches(service: Service, request: Request) -> Reply:
    """End every batch as it would if nobody did anything; the ledger, which is then complete."""
    for batch in list(service.account.unfinished()):
        run_out(service, batch, service.clock())
    return export_ledger(service, request)


def answer_health(_service: Service, _request: Request) -> Reply:
    return reply_json({"status": "ok"})
