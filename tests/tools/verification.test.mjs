import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../tools/deployment/forge.mjs";
import { keccak } from "../../tools/deployment/keccak.mjs";
import { FOLDER, compile, files, inputOf, stale } from "../../tools/verification.mjs";
import { folder } from "./support.mjs";

test("what is shipped is what the build gives, and anything else shows", (t) => {
  const { texts } = files();
  assert.deepEqual(stale(texts), []);

  const copy = join(folder(t), "verification");
  cpSync(FOLDER, copy, { recursive: true });
  assert.deepEqual(stale(texts, copy), []);
  writeFileSync(join(copy, "SaltPay.json"), texts["SaltPay.json"].replace("1000000", "200"));
  rmSync(join(copy, "Salt.json"));
  writeFileSync(join(copy, "Old.json"), "{}");
  assert.deepEqual(stale(texts, copy).sort(), ["Old.json", "Salt.json", "SaltPay.json"]);
  assert.deepEqual(stale(texts, join(copy, "nowhere")), Object.keys(texts));
});

test("a shipped input, compiled alone, gives the code that is deployed", () => {
  const index = JSON.parse(readFileSync(join(FOLDER, "index.json"), "utf8"));
  const { contract, creationCodeHash, creationCodeSize, initCodeHash, constructorArguments } =
    index.contracts.X402ExactPermit2Proxy;
  const [path, name] = contract.split(":");
  const code = compile(JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8")), path, name);
  assert.equal(keccak(code), creationCodeHash);
  assert.equal(code.length / 2 - 1, creationCodeSize);
  assert.equal(keccak(code + constructorArguments.slice(2)), initCodeHash);
});

test("an input holds every source and setting, and no path of this machine", () => {
  for (const [name, text] of Object.entries(files().texts)) {
    assert.ok(!text.includes(root), name);
    if (name === "index.json") continue;
    const { sources, settings } = JSON.parse(text);
    assert.ok(Object.values(sources).every(({ content }) => content.includes("SPDX-License-Identifier")), name);
    assert.equal(settings.viaIR, true, name);
    assert.deepEqual(settings.metadata, { bytecodeHash: "none", appendCBOR: false }, name);
  }
});

test("sources that are not those of the build are refused", (t) => {
  const built = JSON.parse(readFileSync(join(root, "out/SaltPay.sol/SaltPay.json"), "utf8"));
  const copy = folder(t);
  for (const path of Object.keys(JSON.parse(built.rawMetadata).sources)) {
    cpSync(join(root, path), join(copy, path), { recursive: true });
  }
  assert.deepEqual(inputOf(built, copy), inputOf(built));
  writeFileSync(join(copy, "contracts/SaltPay.sol"), "// another\n");
  assert.throws(() => inputOf(built, copy), /contracts\/SaltPay.sol is not what was built: run make contracts/);
});
