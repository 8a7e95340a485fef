"""What the two Python clients have in common; clients/orders.mjs says what their orders are."""

import json
import sys

from eth_account import Account
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.evm.upto import UptoEvmClientScheme

ORDERS = json.load(sys.stdin)


def asks():
    """Each address with the method and the body of JSON with which it is asked, and its headers."""
    bodies = ORDERS.get("bodies") or [ORDERS.get("body")] * len(ORDERS["urls"])
    for url, body in zip(ORDERS["urls"], bodies):
        yield ("POST", url, body, {"content-type": "application/json"}) if body else ("GET", url, None, {})


def with_schemes(client):
    """Has a client pay by both schemes, with the key and within the limits of the orders."""
    signer = EthAccountSigner(Account.from_key(ORDERS["key"]))
    client.set_spend_controls(
        {
            "allowed_assets": [
                {
                    "network": one["network"],
                    "asset": one["asset"],
                    "max_amount_per_payment": one["maxAmountPerPayment"],
                }
                for one in ORDERS["allowedAssets"]
            ]
        }
    )
    register_exact_evm_client(client, signer)
    return client.register("eip155:*", UptoEvmClientScheme(signer))


def tell(url, response=None, error=None):
    """Writes what came of an address, as a line of JSON."""
    line = {"url": url, "error": repr(error)}
    if response is not None:
        line = {
            "url": url,
            "status": response.status_code,
            "body": response.text,
            "paymentResponse": response.headers.get("payment-response"),
            "paymentRequired": response.headers.get("payment-required"),
        }
    say(line)


def say(line):
    """Writes a line of JSON."""
    print(json.dumps(line), flush=True)
