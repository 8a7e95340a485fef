"""A server that sells by PyPI's x402 for FastAPI, unmodified. Its orders come as JSON on standard input."""

import json
import socket
import sys

import uvicorn
from fastapi import FastAPI, Response
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import PaymentMiddlewareASGI, set_settlement_overrides
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.exact import ExactEvmServerScheme
from x402.mechanisms.evm.upto import UptoEvmServerScheme


def option(offer):
    """An offer, as x402's middleware takes it."""
    return PaymentOption(
        scheme=offer["scheme"],
        network=offer["network"],
        pay_to=offer["payTo"],
        price=offer["price"],
        max_timeout_seconds=offer["maxTimeoutSeconds"],
        extra=offer.get("extra"),
    )


def handler(path, charge):
    """What is served at a path, for less than was offered if a charge is given."""

    def serve(response: Response):
        if charge:
            set_settlement_overrides(response, {"amount": charge})
        return {"served": path}

    return serve


orders = json.load(sys.stdin)
resource_server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=orders["facilitator"])))
resource_server.register("eip155:*", ExactEvmServerScheme())
resource_server.register("eip155:*", UptoEvmServerScheme())

app = FastAPI()
routes = {}
for route in orders["routes"]:
    routes[f"GET {route['path']}"] = RouteConfig(accepts=option(route["offer"]), description="A test")
    app.get(route["path"])(handler(route["path"], route.get("charge")))
app.add_middleware(PaymentMiddlewareASGI, routes=routes, server=resource_server)

listening = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
