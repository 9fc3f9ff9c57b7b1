"""What more clients than the service can work for get: `make bench-overload`.

Clients who ask again as soon as they are answered, of a service that works on MAX_CONCURRENT_REQUESTS at once and of
one that takes them all, in turns: the absolute figures are those of a shared machine.
"""

from __future__ import annotations

from harness import command, load
from subjects import create_database, postgres, workshop

CLIENTS = (1, 10, 50, 100, 200, 400)
SECONDS = 4.0
LIMITS = {"bounded": "50", "unbounded": "100000"}


def main() -> None:
    with workshop() as place, postgres(place) as server:
        service = place.ours(create_database(server, "service"))
        quiet = {"LOG_LEVEL": "WARNING", "DATABASE_POOL_TIMEOUT": "5"}
        with (
            service.serving(MAX_CONCURRENT_REQUESTS=LIMITS["bounded"], **quiet) as bounded,
            service.serving(MAX_CONCURRENT_REQUESTS=LIMITS["unbounded"], **quiet) as unbounded,
        ):
            print(f"{'clients':>7}  {'':9} {'200/s':>7} {'503/s':>7} {'p50':>8} {'p99':>8}  ms of a 200")
            for clients in CLIENTS:
                for name, served in (("bounded", bounded), ("unbounded", unbounded)):
                    result = load(served, service.routes["list page"], clients, seconds=SECONDS)
                    rates = f"{result.rate:7.0f} {result.answers[503] / result.seconds:7.0f}"
                    percentiles = f"{result.percentile(0.5):8.1f} {result.percentile(0.99):8.1f}"
                    print(f"{clients:7}  {name:9} {rates} {percentiles}", flush=True)


if __name__ == "__main__":
    command(main)
