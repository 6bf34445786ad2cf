"""The inference container: SageMaker Batch Transform's protocol in front of any OpenAI-compatible engine."""
