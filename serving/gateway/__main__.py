"""``python -m serving.gateway --config F``: reads the settings, starts telemetry, serves, flushes."""

import argparse
import logging
import socket
import sys
from pathlib import Path

import uvloop

from conventions import logs, settings
from conventions.errors import TokenjouleError
from serving import telemetry
from serving.gateway import server
from serving.gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)


def main() -> int:
    """Exit status: 0 after a clean stop, 2 when the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m serving.gateway", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file with a section [serving.gateway]")
    try:
        chosen = settings.section(parser.parse_args().config, "serving.gateway", GatewaySettings)
        logs.configure(chosen.log_level)
        return serve(chosen)
    except (TokenjouleError, OSError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2


def serve(chosen: GatewaySettings) -> int:
    """Run until stopped; telemetry is flushed last."""
    listener = server.listen(chosen.host, chosen.port)
    instance = f"{socket.gethostname()}:{listener.getsockname()[1]}"
    emitting = telemetry.start(chosen.otlp_endpoint, "tokenjoule-gateway", instance)
    try:
        uvloop.run(server.run(chosen, listener, emitting))
    finally:
        emitting.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
