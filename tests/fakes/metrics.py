"""Metrics in the embedded metric format, as functions print them."""

import json


def read_metrics(printed: str) -> list[tuple[str, float, str]]:
    """Name, value and stack of each."""
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith('{"_aws"')]
    named = [(line, metric["Name"]) for line in lines for it in line["_aws"]["CloudWatchMetrics"] for metric in it["Metrics"]]
    return [(name, sum(line[name]), line["stack"]) for line, name in named]
