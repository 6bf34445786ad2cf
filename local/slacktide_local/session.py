"""boto3 for the local cloud."""

from typing import Any

import boto3

from slacktide_local.environment import REGION, Credentials


class EmulatorSession:
    """A boto3 session whose clients talk to one endpoint, whatever this process's environment says."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._session = boto3.Session(
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            region_name=REGION,
        )

    def client(self, service: str, **options: Any) -> Any:
        """Return boto3's client of a service."""
        make: Any = self._session.client  # boto3's overloads know its services by name; here any will do
        return make(service, **{"endpoint_url": self._endpoint, **options})

    def resource(self, service: str) -> Any:
        """Return boto3's resource of a service."""
        make: Any = self._session.resource
        return make(service, endpoint_url=self._endpoint)
