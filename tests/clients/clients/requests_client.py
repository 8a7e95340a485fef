"""Pays with PyPI's x402 for requests, unmodified."""

from orders import asks, tell, with_schemes
from x402 import x402ClientSync
from x402.http.clients import x402_requests

with x402_requests(with_schemes(x402ClientSync())) as session:
    session.trust_env = False
    for method, url, body, headers in asks():
        try:
            tell(url, response=session.request(method, url, data=body, headers=headers))
        except Exception as error:
            tell(url, error=error)
