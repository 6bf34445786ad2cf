"""The services of the HTTP API, put together: apart from `slacktide.wiring`, since no other function needs to import them."""

from functools import cache

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from botocore.config import Config

from slacktide import wiring
from slacktide.access import AccessKeys
from slacktide.api.app import App
from slacktide.api.batches import BatchService
from slacktide.api.estimates import EstimateService
from slacktide.api.files import FileService
from slacktide.api.models import ModelService
from slacktide.api.parts import PartService
from slacktide.api.routing import Api
from slacktide.api.uploads import UploadService
from slacktide.links import Links
from slacktide.sources import Sources


@cache
def access_keys() -> AccessKeys:
    """The API keys."""
    return AccessKeys(wiring.records().table)


@cache
def links() -> Links:
    """Presigned URLs, of an endpoint that the callers can reach."""
    endpoint = wiring.settings().file_endpoint_url or None
    style = {"addressing_style": "path" if endpoint else "virtual"}
    config = wiring.CONFIG.merge(Config(signature_version="s3v4", s3=style))
    return Links(boto3.client("s3", config=config, endpoint_url=endpoint), wiring.settings().bucket)


@cache
def api() -> APIGatewayRestResolver:
    """For the function `api`."""
    here = wiring.settings()
    sources = Sources(wiring.bucket(), here)
    file_service = FileService(wiring.bucket(), wiring.records(), wiring.files(), sources, links(), wiring.now)
    uploads = UploadService(wiring.bucket(), wiring.files(), links(), wiring.now)
    batches = BatchService(
        wiring.bucket(),
        wiring.records(),
        file_service,
        wiring.creator(),
        wiring.canceller(),
        wiring.model_tables(),
        here,
        wiring.now,
    )
    parts = PartService(wiring.bucket(), wiring.records(), batches, links())
    models = ModelService(wiring.model_tables())
    estimates = EstimateService(wiring.records(), file_service, models, sources, here)
    services = Api(file_service, uploads, batches, parts, models, estimates)
    return App(services, access_keys(), here.api_requests_per_second, wiring.now).resolver()
