// Changes what a 402 asks for, in every dialect in which it is signed for; and finds what was signed in what is shown.

/**
 * What is changed: each is given what stands there.
 *
 * @typedef {object} Change
 * @property {(amount: bigint) => bigint} [amount] - In base units.
 * @property {string} [asset] - The token's address.
 * @property {string} [name] - Its EIP-712 domain's name.
 * @property {number} [seconds] - For how long what is signed is good.
 */

const decoded = (text) => JSON.parse(Buffer.from(text, "base64").toString());
const units = (text) => BigInt(text.replace(".", "").padEnd(text.split(".")[0].length + 18, "0"));
const whole = (amount) => {
  const digits = String(amount).padStart(19, "0");
  return `${digits.slice(0, -18)}.${digits.slice(-18)}`;
};

/** A way of x402, in either version, or of the dialects after it. */
function changedWay(way, { amount, asset, name, seconds }) {
  const now = { ...way, extra: { ...way.extra } };
  const inUnits = way.extra?.decimals !== undefined;
  for (const member of ["amount", "maxAmount", "maxAmountRequired"]) {
    if (amount && way[member]) now[member] = inUnits ? whole(amount(units(way[member]))) : String(amount(BigInt(way[member])));
  }
  if (asset && inUnits) now.extra.asset = asset;
  else if (asset) now.asset = asset;
  if (name) now.extra.name = name;
  if (seconds) now.maxTimeoutSeconds = seconds;
  return now;
}

/** The challenges of MPP. Its clients know a token's domain themselves. */
function changedChallenge(text, { amount, asset, seconds }) {
  const asked = decoded(text.match(/request="([^"]*)"/)[1]);
  if (amount) asked.amount = String(amount(BigInt(asked.amount)));
  if (asset) asked.currency = asset;
  const expires = seconds && new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z/, "Z");
  const request = Buffer.from(JSON.stringify(asked)).toString("base64url");
  return text.replace(/request="[^"]*"/, `request="${request}"`).replace(/expires="[^"]*"/, (was) => (expires ? `expires="${expires}"` : was));
}

/**
 * A 402 with its offers changed.
 *
 * @param {Change} change - What is changed.
 * @returns {(headers: object, body: string) => [object, string]} Changes the head and the body.
 */
export function changed(change) {
  return (headers, body) => {
    const now = { ...headers };
    for (const name of ["payment-required", "x-payment-requirements"]) {
      if (!now[name]) continue;
      const asked = decoded(now[name]);
      asked.accepts = asked.accepts.map((way) => changedWay(way, change));
      now[name] = Buffer.from(JSON.stringify(asked)).toString("base64");
    }
    const challenges = [now["www-authenticate"] ?? []].flat().join(", ").split(/, (?=Payment )/).filter(Boolean);
    if (challenges.length) now["www-authenticate"] = challenges.map((text) => changedChallenge(text, change));
    if (now["x-payment-amount"] && change.amount) now["x-payment-amount"] = whole(change.amount(units(now["x-payment-amount"])));
    if (now["x-payment-domain"]) {
      const domain = JSON.parse(now["x-payment-domain"]);
      if (change.asset) domain.verifyingContract = change.asset;
      if (change.name) domain.name = change.name;
      now["x-payment-domain"] = JSON.stringify(domain);
    }
    const asked = JSON.parse(body);
    if (asked.accepts) asked.accepts = asked.accepts.map((way) => changedWay(way, change));
    if (asked.x402?.accepts) asked.x402.accepts = asked.x402.accepts.map((way) => changedWay(way, change));
    return [now, JSON.stringify(asked)];
  };
}

/**
 * The EIP-3009 authorization in what is shown.
 *
 * @param {string} shown - The header, in whatever dialect.
 * @returns {{ from: string, to: string, value: string, validAfter: string, validBefore: string, nonce: string, signature: string }} It.
 */
export function authorizationIn(shown) {
  const { payload, authorization, signature } = decoded(shown.replace(/^payment /i, ""));
  const signed = payload?.authorization ? { ...payload.authorization, signature: payload.signature } : payload;
  return signed ?? { ...authorization, signature };
}
