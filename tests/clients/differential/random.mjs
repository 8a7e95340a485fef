// Numbers that look random and follow from a seed.

/**
 * @typedef {object} Random
 * @property {(below: number) => number} below - An integer from 0 up to and without `below`.
 * @property {<T>(list: readonly T[]) => T} pick - One of a list.
 * @property {(bytes: number) => `0x${string}`} hex - That many bytes.
 * @property {(chance: number) => boolean} chance - True in so many of 100.
 */

/**
 * A source of random numbers (splitmix32).
 *
 * @param {number} seed - Any integer.
 * @param {number} index - Which of the sources of this seed.
 * @returns {Random} The source.
 */
export function random(seed, index) {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)) >>> 0;
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  const below = (limit) => next() % limit;
  return {
    below,
    pick: (list) => list[below(list.length)],
    hex: (bytes) => `0x${Array.from({ length: bytes }, () => below(256).toString(16).padStart(2, "0")).join("")}`,
    chance: (percent) => below(100) < percent,
  };
}
