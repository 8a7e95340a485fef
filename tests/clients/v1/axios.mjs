// Pays with x402-axios, the client of version 1, unmodified.
import axios from "axios";
import { createSigner, withPaymentInterceptor } from "x402-axios";
import { carryOut, key } from "../clients/orders.mjs";

// It reads the 402 as JSON.
const pay = withPaymentInterceptor(axios.create({ proxy: false }), await createSigner("base-sepolia", key));
await carryOut(async (url, body) => {
  const asked = body ? pay.post(url, body, { headers: { "content-type": "application/json" } }) : pay.get(url);
  const response = await asked.catch((error) => {
    if (error.response) return error.response;
    throw error;
  });
  return { status: response.status, body: JSON.stringify(response.data), header: (name) => response.headers[name] };
});
