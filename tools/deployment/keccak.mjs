// The hash that Ethereum uses, which Node has not.
import sha3 from "js-sha3";
import { Failure } from "./failure.mjs";

/** keccak256 of bytes, given and returned as hexadecimal text with 0x. */
export function keccak(hex) {
  // Node would hash what stands before the first wrong character.
  if (!/^0x([0-9a-f]{2})*$/i.test(hex)) throw new Failure("what should be bytes is not hexadecimal");
  return `0x${sha3.keccak256(Buffer.from(hex.slice(2), "hex"))}`;
}
