"""Pays with PyPI's x402 for httpx, unmodified."""

import asyncio

from orders import asks, tell, with_schemes
from x402 import x402Client
from x402.http.clients import x402HttpxClient


async def main():
    async with x402HttpxClient(with_schemes(x402Client()), trust_env=False) as client:
        for method, url, body, headers in asks():
            try:
                tell(url, response=await client.request(method, url, content=body, headers=headers))
            except Exception as error:
                tell(url, error=error)


asyncio.run(main())
