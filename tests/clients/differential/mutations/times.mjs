// Every edge of the times that are signed. `now` is the second in which the request is sent.
const end = (at) => ({
  before: (draft) => (draft.fields["validBefore" in draft.fields ? "validBefore" : "deadline"] = String(at(draft.now))),
});
const beginning = (at) => ({
  before: (draft) => ((draft.fields.witness ?? draft.fields).validAfter = String(at(draft.now))),
});
const edges = [-1_000_000, -60, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 3_600, 10 ** 9];
const far = {
  "2^31": 2n ** 31n,
  "2^32": 2n ** 32n,
  "2^48": 2n ** 48n,
  "2^63": 2n ** 63n,
  "2^64": 2n ** 64n,
  "2^256-1": 2n ** 256n - 1n,
};
const odd = [
  "0",
  "1.5",
  "-1",
  "1e10",
  "0x7fffffff",
  "",
  " ",
  "now",
  "00000000000000000000",
  String(2n ** 256n),
  "9".repeat(100),
];
const name = (seconds) => `now${seconds < 0 ? "" : "+"}${seconds}`;

/** @type {import("../generate.mjs").Mutation[]} */
export const times = [
  ...edges.map((seconds) => ({ name: `end:${name(seconds)}`, ...end((now) => now + seconds) })),
  ...edges.map((seconds) => ({ name: `beginning:${name(seconds)}`, ...beginning((now) => now + seconds) })),
  ...Object.entries(far).map(([at, value]) => ({ name: `end:${at}`, ...end(() => value) })),
  ...Object.entries(far).map(([at, value]) => ({ name: `beginning:${at}`, ...beginning(() => value) })),
  ...odd.map((value) => ({ name: `end:odd`, ...end(() => value) })),
  ...odd.map((value) => ({ name: `beginning:odd`, ...beginning(() => value) })),
  {
    name: "beginning-after-end",
    before: (draft) => {
      end((now) => now + 30).before(draft);
      beginning((now) => now + 40).before(draft);
    },
  },
];
