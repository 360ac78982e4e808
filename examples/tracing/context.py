"""A trace context as it stands in metadata, and as OpenTelemetry's propagators want it: a dict."""

KEY = "open_telemetry_context"


def carrier_of(metadata):
    parts = metadata.get(KEY, "").split(";")
    return dict(part.split(":", 1) for part in parts if part)


def metadata_of(carrier):
    return {KEY: "".join(f"{key}:{value};" for key, value in carrier.items())}
