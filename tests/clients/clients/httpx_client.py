"""Pays with PyPI's x402 for httpx, unmodified."""

import asyncio

from orders import CONTENT, METHOD, ORDERS, tell, with_schemes
from x402 import x402Client
from x402.http.clients import x402HttpxClient


async def main():
    async with x402HttpxClient(with_schemes(x402Client()), trust_env=False) as client:
        for url in ORDERS["urls"]:
            try:
                tell(url, response=await client.request(METHOD, url, **CONTENT))
            except Exception as error:
                tell(url, error=error)


asyncio.run(main())
