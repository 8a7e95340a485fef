"""A transport that pays, for any SDK that takes a client of httpx: it pays a 402 in the chain's coin, and asks again
with the proof."""

import json
import time

from eth_account import Account
from eth_utils import keccak

PAY_ON_TIME = keccak(text="payOnTime(bytes32,uint256)")[:4].hex()


class Paying:
    """The payer's private key, a node, its chain's id, and the most that a request may cost, in base units."""

    def __init__(self, httpx, key: str, rpc: str, chain_id: int, most: int):
        self.account, self.chain_id, self.most = Account.from_key(key), chain_id, most
        self.node, self.inner = httpx.Client(base_url=rpc), httpx.HTTPTransport()
        # What was paid for and is not answered yet. SDKs ask again on their own: they must show the same proof, and pay nothing.
        self.paid = {}

    def handle_request(self, request):
        key = (request.method, str(request.url), request.read())
        # Taken out, so that the same request at the same time pays for itself.
        proof = self.paid.pop(key, None)
        try:
            for tries in range(31):
                request.headers.update(proof or {"x-payment-binding": "quote"})
                response = self.inner.handle_request(request)
                details, wait = response.headers.get("x-payment-details"), response.headers.get("retry-after")
                if response.status_code == 402 and details and not proof:
                    proof = self.pay(json.loads(details))
                elif response.status_code >= 400 and proof and wait and tries < 30:
                    time.sleep(float(wait))
                else:
                    proof = None if response.is_success else proof
                    return response
                response.close()
        finally:
            if proof:
                self.paid[key] = proof

    def pay(self, details: dict) -> dict:
        amount = int(details["amount"])
        if amount > self.most:
            raise ValueError(f"it costs {amount}, which is more than {self.most}")
        if details["asset"] != "native" or details["chainId"] != self.chain_id:
            raise ValueError(f"it is paid in {details['asset']} on chain {details['chainId']}")
        until = (details["expiresAt"] << 160) | int(details["recipient"], 16)
        price = int(self.ask("eth_gasPrice"), 16)
        signed = self.account.sign_transaction({
            "chainId": self.chain_id,
            "nonce": int(self.ask("eth_getTransactionCount", self.account.address, "pending"), 16),
            "to": details["paymentContract"],
            "value": amount,
            "data": f"0x{PAY_ON_TIME}{details['reference'][2:]}{until:064x}",
            "gas": 100_000,
            "gasPrice": 2 * price,
        })
        proof = self.ask("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())
        return {"x-payment-proof": proof, "x-payment-quote": details["quoteId"]}

    def ask(self, method: str, *params):
        answer = self.node.post("/", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def close(self) -> None:
        self.inner.close()
        self.node.close()


def paying_transport(httpx, *payer) -> Paying:
    """A transport for clients of a module: httpx, or httpx2, which anthropic has."""
    return type("PayingTransport", (Paying, httpx.BaseTransport), {})(httpx, *payer)
