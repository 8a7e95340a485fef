"""The official SDKs for Python, each plain and streamed. Reads where the gateway is as JSON, and writes a line of JSON for each answer. With
`api_key` they have a base address and that key alone; else each request is paid for by a transport."""

import json
import os
import sys

# It would ask the internet for its own list of prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import anthropic
import httpx
import httpx2
import litellm
import openai
from langchain_openai import ChatOpenAI
from paying_transport import paying_transport

at = json.load(sys.stdin)
base, model = f"{at['gateway']}/v1", at["model"]
if "api_key" in at:
    key, over, over2, lite = at["api_key"], {}, {}, {"api_base": base, "api_key": at["api_key"]}
else:
    payer = at["key"], at["rpc"], at["chain_id"], int(at["most"])
    key = "none"
    over = {"http_client": httpx.Client(transport=paying_transport(httpx, *payer), timeout=60)}
    over2 = {"http_client": httpx2.Client(transport=paying_transport(httpx2, *payer))}
    lite = {"client": openai.OpenAI(base_url=base, api_key=key, **over)}
ai = openai.OpenAI(base_url=base, api_key=key, **over)
claude = anthropic.Anthropic(base_url=at["gateway"], api_key=key, **over2)
chain = ChatOpenAI(base_url=base, api_key=key, model=model, **over)


def messages(name):
    return [{"role": "user", "content": name}]


def openai_plain(name):
    return ai.chat.completions.create(model=model, messages=messages(name)).choices[0].message.content


def openai_streamed(name):
    chunks = ai.chat.completions.create(model=model, messages=messages(name), stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def openai_responses_streamed(name):
    events = ai.responses.create(model=model, input=name, stream=True)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def litellm_plain(name):
    return litellm.completion(f"openai/{model}", messages(name), **lite).choices[0].message.content


def litellm_streamed(name):
    chunks = litellm.completion(f"openai/{model}", messages(name), stream=True, **lite)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def langchain_plain(name):
    return chain.invoke(name).content


def langchain_streamed(name):
    return "".join(chunk.content for chunk in chain.stream(name))


def anthropic_plain(name):
    return claude.messages.create(model=model, max_tokens=16, messages=messages(name)).content[0].text


def anthropic_streamed(name):
    with claude.messages.stream(model=model, max_tokens=16, messages=messages(name)) as stream:
        return "".join(stream.text_stream)


for ask in [
    openai_plain,
    openai_streamed,
    openai_responses_streamed,
    litellm_plain,
    litellm_streamed,
    langchain_plain,
    langchain_streamed,
    anthropic_plain,
    anthropic_streamed,
]:
    try:
        print(json.dumps({"sdk": ask.__name__, "text": ask(f"python {ask.__name__}")}), flush=True)
    except Exception as error:  # Each is told by itself.
        print(json.dumps({"sdk": ask.__name__, "error": f"{type(error).__name__}: {error}"[:2000]}), flush=True)
