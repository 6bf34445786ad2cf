"""Answers, announces itself, or tries what its role does not allow."""

import json
import os

import boto3


def handler(event, _context):
    """Do what the event says."""
    if event.get("forbidden"):
        boto3.client("s3").list_buckets()
    entry = {"Source": event.get("source", "slacktide"), "DetailType": "Hello", "EventBusName": os.environ["BUS"]}
    boto3.client("events").put_events(Entries=[{**entry, "Detail": json.dumps({"said": event.get("said")})}])
    return {"sagemaker": os.environ["AWS_ENDPOINT_URL_SAGEMAKER"]}
