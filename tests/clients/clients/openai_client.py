"""The SDK of OpenAI over PyPI's x402 for httpx, both unmodified; sdks/over.mjs says how it is asked."""

import asyncio
import json

from openai import APIStatusError, AsyncOpenAI
from orders import asks, say, with_schemes
from x402 import x402Client
from x402.http.clients import x402HttpxClient


async def text(completions, body):
    answer = await completions.create(**body)
    if not body.get("stream"):
        return answer.choices[0].message.content
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])


async def main():
    for _, url, body, _ in asks():
        http_client = x402HttpxClient(with_schemes(x402Client()), trust_env=False)
        base = url.replace("/chat/completions", "")
        async with AsyncOpenAI(base_url=base, api_key="none", http_client=http_client) as client:
            try:
                say({"url": url, "status": 200, "body": await text(client.chat.completions, json.loads(body))})
            except APIStatusError as error:
                say({"url": url, "status": error.status_code, "body": error.message})
            except Exception as error:
                say({"url": url, "error": repr(error)})


asyncio.run(main())
