// Pays with @x402/axios, unmodified. Its version has no spend controls.
import { wrapAxiosWithPayment, x402Client } from "@x402/axios";
import axios from "axios";
import { carryOut, withSchemes } from "./orders.mjs";

const instance = axios.create({ responseType: "text", proxy: false, transformResponse: (text) => text });
const pay = wrapAxiosWithPayment(instance, withSchemes(new x402Client()));
await carryOut(async (url, body) => {
  const json = { headers: { "content-type": "application/json" } };
  const asked = body ? pay.post(url, body, json) : pay.get(url);
  const response = await asked.catch((error) => {
    if (error.response) return error.response;
    throw error;
  });
  return { status: response.status, body: response.data, header: (name) => response.headers[name] };
});
