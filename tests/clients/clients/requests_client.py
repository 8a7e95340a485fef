"""Pays with PyPI's x402 for requests, unmodified."""

from orders import CONTENT, METHOD, ORDERS, tell, with_schemes
from x402 import x402ClientSync
from x402.http.clients import x402_requests

with x402_requests(with_schemes(x402ClientSync())) as session:
    session.trust_env = False
    for url in ORDERS["urls"]:
        try:
            tell(url, response=session.request(METHOD, url, data=CONTENT.get("content"), headers=CONTENT.get("headers")))
        except Exception as error:
            tell(url, error=error)
