"""Traces by OpenTelemetry, for who wants them: nothing here imports it but `otel` and what is built on that."""
