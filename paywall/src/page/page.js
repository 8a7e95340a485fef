// Pays for the page's own address with a wallet of this browser (EIP-1193, found by EIP-6963), and shows the answer.
// What was paid with is kept in this browser before it is sent, so a page that is loaded again goes on and pays nothing anew, and so
// does the same page in another tab.
'use strict';

const offer = JSON.parse(document.getElementById('offer').textContent);
const { details, pay, required } = offer;
const at = (id) => document.getElementById(id);
const say = (text) => { at('said').textContent = text; };
const sleep = (seconds) => new Promise((wake) => setTimeout(wake, seconds * 1000));
const place = `salt402 ${details.chain} ${details.recipient} ${location.pathname}${location.search}`;
// Any hash: the server finds the payment by its quote, which nobody else knows.
const UNKNOWN = `0x${'00'.repeat(32)}`;
const begun = Date.now();
// By the server's clock, in seconds since 1970.
const now = () => offer.now + Math.floor((Date.now() - begun) / 1000);

const kept = {
  read: () => { try { return JSON.parse(localStorage.getItem(place)); } catch { return null; } },
  write: (record) => localStorage.setItem(place, JSON.stringify(record)),
  forget: () => localStorage.removeItem(place),
};

/** Shows these buttons and no others: each with what it does. */
function buttons(...shown) {
  at('buttons').replaceChildren(...shown.map(([text, action]) => {
    const button = document.createElement('button');
    button.textContent = text;
    button.addEventListener('click', async () => {
      buttons();
      try { await action(); } catch (error) { failed(error); }
    });
    return button;
  }));
}

function failed(error) {
  const refused = error && error.code === 4001;
  say(refused ? 'You refused in the wallet. Nothing was paid.' : `It failed: ${(error && error.message) || error}`);
  choices();
}

// Wallets that announce themselves, and the one that was there before there was a way to.
const wallets = new Map();
addEventListener('eip6963:announceProvider', ({ detail }) => {
  wallets.set(detail.info.uuid, { name: detail.info.name, provider: detail.provider });
  if (!kept.read()) choices();
});

function choices() {
  if (kept.read()) return resume();
  const found = [...wallets.values()];
  if (found.length === 0 && window.ethereum) found.push({ name: 'the wallet', provider: window.ethereum });
  const shown = [];
  for (const { name, provider } of found) {
    if (required) shown.push([`Sign with ${name}, no gas`, () => sign(provider)]);
    if (pay) shown.push([`Pay with ${name}`, () => send(provider)]);
  }
  buttons(...shown);
  if (shown.length === 0) say('No wallet was found in this browser. Install one, then load this page again.');
}

/** Loads the page anew where its quote is about to end: it would be paid for nothing. */
async function inTime() {
  if (now() <= details.expiresAt - 30) return;
  location.reload();
  await sleep(3600);
}

/** The account that pays, on the right chain. */
async function account(provider) {
  await inTime();
  const [first] = await provider.request({ method: 'eth_requestAccounts' });
  const chainId = `0x${details.chainId.toString(16)}`;
  if (BigInt(await provider.request({ method: 'eth_chainId' })) !== BigInt(chainId)) {
    say(`Let the wallet change to the network ${details.network}.`);
    await provider.request({ method: 'wallet_switchEthereumChain', params: [{ chainId }] });
  }
  if (BigInt(await provider.request({ method: 'eth_chainId' })) !== BigInt(chainId)) {
    throw new Error(`the wallet is on another network than ${details.network} (chain ${details.chainId})`);
  }
  return first;
}

/** Pays by transactions: a token is approved first. */
async function send(provider) {
  // Another tab may have paid since this one was loaded, or while its wallet was asked.
  if (kept.read()) return resume();
  const from = await account(provider);
  const [last, ...before] = [...pay].reverse();
  for (const call of before.reverse()) {
    say('Confirm in the wallet that the payment contract may take this amount.');
    const hash = await provider.request({ method: 'eth_sendTransaction', params: [{ from, ...call }] });
    say('Waiting for the approval.');
    let receipt = null;
    while (!receipt) {
      await sleep(1);
      receipt = await provider.request({ method: 'eth_getTransactionReceipt', params: [hash] });
    }
    if (BigInt(receipt.status) !== 1n) throw new Error('the approval failed; nothing was paid');
  }
  await inTime();
  if (kept.read()) return resume();
  say('Confirm the payment in the wallet.');
  // Kept before the wallet is asked: the page may be closed while it sends.
  const record = (proof) => ({ headers: { 'X-Payment-Proof': proof, 'X-Payment-Quote': details.quoteId } });
  kept.write(record(UNKNOWN));
  let hash;
  try {
    hash = await provider.request({ method: 'eth_sendTransaction', params: [{ from, ...last }] });
  } catch (error) {
    // Only a refusal says for sure that nothing was sent.
    if (error && error.code === 4001) kept.forget();
    throw error;
  }
  kept.write(record(hash));
  return claim();
}

/** Pays by a signature, which the server has settled. */
async function sign(provider) {
  if (kept.read()) return resume();
  const from = await account(provider);
  const way = required.accepts[0];
  const nonce = `0x${[...crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  const validBefore = now() + way.maxTimeoutSeconds;
  const message = { from, to: way.payTo, value: way.amount, validAfter: '0', validBefore: String(validBefore), nonce };
  const typed = {
    types: {
      EIP712Domain: [
        { name: 'name', type: 'string' }, { name: 'version', type: 'string' },
        { name: 'chainId', type: 'uint256' }, { name: 'verifyingContract', type: 'address' },
      ],
      TransferWithAuthorization: [
        { name: 'from', type: 'address' }, { name: 'to', type: 'address' }, { name: 'value', type: 'uint256' },
        { name: 'validAfter', type: 'uint256' }, { name: 'validBefore', type: 'uint256' }, { name: 'nonce', type: 'bytes32' },
      ],
    },
    primaryType: 'TransferWithAuthorization',
    domain: { name: way.extra.name, version: way.extra.version, chainId: details.chainId, verifyingContract: way.asset },
    message,
  };
  say('Sign the payment in the wallet.');
  const signature = await provider.request({ method: 'eth_signTypedData_v4', params: [from, JSON.stringify(typed)] });
  const payload = { x402Version: 2, resource: required.resource, accepted: way, payload: { signature, authorization: message } };
  const bytes = new TextEncoder().encode(JSON.stringify(payload));
  const header = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  // A signature that is shown to nobody moves nothing.
  if (kept.read()) return resume();
  kept.write({ headers: { 'PAYMENT-SIGNATURE': header } });
  return claim();
}

/** Shows what is kept to the server until it answers. */
async function claim() {
  const record = kept.read();
  say('Paid. Waiting for the server to see the payment.');
  for (;;) {
    let answer;
    try {
      answer = await fetch(location.href, { headers: record.headers, cache: 'no-store', redirect: 'manual' });
    } catch {
      say('The server cannot be reached. Your payment stays good: this page tries again.');
      await sleep(3);
      continue;
    }
    if (answer.ok) return show(answer);
    if (answer.type === 'opaqueredirect') {
      say('You have paid, and the server answers with another address, which this page does not follow.');
      return buttons(['Try again', claim], ['Start anew', anew]);
    }
    const why = await answer.json().catch(() => ({}));
    const pause = Number(answer.headers.get('retry-after'));
    const unsent = record.headers['X-Payment-Proof'] === UNKNOWN;
    if (pause > 0 || answer.status === 425 || answer.status === 429 || answer.status >= 500) {
      say(`${unsent ? 'Did you confirm the payment in the wallet? It was not seen yet.' : 'Not yet:'} ${why.detail || answer.status}`);
      buttons(['I did not pay: start anew', anew]);
      await sleep(Math.max(1, pause || 2));
      if (!kept.read()) return choices();
      continue;
    }
    const other = kept.read();
    if (other && other.done && !record.done) return resume();
    say(`The server refuses: ${why.detail || answer.status}`);
    return buttons(['Try again', claim], ['Start anew', anew]);
  }
}

async function anew() {
  // Also after the end of the quote: what was mined in time stays good.
  const question = 'If you have paid, do not start anew: you would pay again. Start anew all the same?';
  if (kept.read() && !confirm(question)) return resume();
  kept.forget();
  return location.reload();
}

function resume() {
  const record = kept.read();
  if (!record.done) return claim();
  say('You have paid for this before, from this browser.');
  return buttons(['Show the answer again', claim], ['Pay for a new one', () => { kept.forget(); location.reload(); }]);
}

/** Shows an answer: as an image, a page without scripts, or text; and to keep. */
async function show(answer) {
  const type = (answer.headers.get('content-type') || '').split(';')[0].trim().toLowerCase();
  const blob = await answer.blob();
  kept.write({ ...kept.read(), done: true });
  say('Paid and answered.');
  const url = URL.createObjectURL(blob);
  const save = document.createElement('a');
  save.href = url;
  save.download = location.pathname.split('/').pop() || 'answer';
  save.textContent = 'Save the answer';
  const shown = [save];
  if (type.startsWith('image/')) {
    const image = document.createElement('img');
    image.src = url;
    image.alt = details.resource.description;
    shown.unshift(image);
  } else if (type === 'text/html') {
    const frame = document.createElement('iframe');
    frame.sandbox = '';
    frame.title = details.resource.description;
    frame.srcdoc = await blob.text();
    shown.unshift(frame);
  } else if (type.startsWith('text/') || type.endsWith('json') || type.endsWith('xml') || type === '') {
    const text = document.createElement('pre');
    text.textContent = await blob.text();
    shown.unshift(text);
  }
  at('answer').replaceChildren(...shown);
  buttons();
}

dispatchEvent(new Event('eip6963:requestProvider'));
try { Promise.resolve(choices()).catch(failed); } catch (error) { failed(error); }
