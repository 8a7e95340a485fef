// docs/clients.md shows what the clients' tests run: both are of tests/clients/support/table.mjs. UPDATE=1 writes the page.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { blocks } from "../clients/support/page.mjs";

const page = new URL("../../docs/clients.md", import.meta.url);

test("docs/clients.md has the tables that are run", () => {
  const is = readFileSync(page, "utf8");
  let should = is;
  for (const [name, text] of Object.entries(blocks())) {
    const block = new RegExp(`(<!-- table: ${name} -->\n)[^]*?(<!-- end -->)`);
    assert.match(should, block, `docs/clients.md has no table ${name}`);
    should = should.replace(block, (_, before, after) => `${before}${text}\n${after}`);
  }
  if (process.env.UPDATE) writeFileSync(page, should);
  else assert.equal(is, should, "run UPDATE=1 node --test tests/tools/clients-page.test.mjs");
});
