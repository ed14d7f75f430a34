"""What a daemon tells those who watch it: numbers for Prometheus, spans for OpenTelemetry."""
