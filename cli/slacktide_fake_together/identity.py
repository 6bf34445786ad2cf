"""Who a key belongs to: the command `tg` of 3.1.1 asks before anything else (`lib/cli/__init__.py`, `_resolve_project_id`)."""

from slacktide_fake_together.messages import Reply, Request, reply_json
from slacktide_fake_together.service import Service


def tell_identity(_service: Service, _request: Request) -> Reply:
    """`types/whoami_project_api_key.py` of 3.1.1."""
    return reply_json(
        {
            "type": "project_api_key",
            "api_key": {"id": "key-fake"},
            "organization": {"id": "org-fake", "name": "Fake"},
            "project": {"id": "proj-fake", "name": "Fake", "slug": "fake"},
        }
    )
