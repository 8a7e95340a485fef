// What a deployment costs, and whether its account can pay.
import { Failure } from "./failure.mjs";
import { Refused } from "./node.mjs";

// Chains that also charge for a transaction's size, by the contract that says how much: OP Stack's GasPriceOracle.
const SIZE_ORACLE = { 8453: true, 84532: true };
const ORACLE = "0x420000000000000000000000000000000000000F";
/** getL1FeeUpperBound(uint256) */
const UPPER_BOUND = "0xf1c7a58b";

// forge's limit for a transaction is its use, rounded up by at most an eighth, times --gas-estimate-multiplier.
const MULTIPLIER = 130;
const ROUNDED_UP = 1_125n;

/** Base units as coins, in full. */
export function coins(units, digits = 18) {
  const text = String(units).padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  return text.slice(0, -digits) + (fraction && `.${fraction}`);
}

/**
 * The most that a unit of gas may cost. It is told to forge, so that what was shown is what holds. `said` is what the
 * flags say.
 */
export async function gasPrice(node, said = {}) {
  const head = await node.ask("eth_getBlockByNumber", "latest", false);
  const base = head?.baseFeePerGas ? BigInt(head.baseFeePerGas) : undefined;
  const legacy = Boolean(said.legacy) || base === undefined;
  if (legacy) {
    if (said.priority !== undefined) {
      throw new Failure("this chain has no base fee: leave --priority-gas-price (ETH_PRIORITY_GAS_PRICE) out");
    }
    const max = said.max ?? (await node.quantity("eth_gasPrice"));
    if (base !== undefined && max < base) throw tooLow(max, base);
    return { max, args: ["--legacy", "--with-gas-price", String(max)] };
  }
  const asked = said.priority ?? (await usualPriority(node));
  const max = said.max ?? (await larger(2n * base + asked, node));
  if (max < base) throw tooLow(max, base);
  if (asked > max && said.priority !== undefined) {
    throw new Failure(`--priority-gas-price is ${coins(asked, 9)} gwei, more than the whole price, ${coins(max, 9)} gwei`);
  }
  const priority = asked > max ? max : asked;
  return { max, args: ["--with-gas-price", String(max), "--priority-gas-price", String(priority)] };
}

async function larger(computed, node) {
  const usual = await node.quantity("eth_gasPrice");
  return usual > computed ? usual : computed;
}

async function usualPriority(node) {
  try {
    return await node.quantity("eth_maxPriorityFeePerGas");
  } catch (error) {
    if (error instanceof Refused) return 1_000_000_000n;
    throw error;
  }
}

const tooLow = (max, base) =>
  new Failure(`a price of ${coins(max, 9)} gwei is below the base fee, ${coins(base, 9)} gwei: no block would take it`);

/** What a chain charges for the size of each transaction, where it does; null where it does not say. */
export async function sizeFees(node, plan) {
  if (!SIZE_ORACLE[plan.chainId]) return plan.transactions.map(() => 0n);
  const fees = [];
  for (const { size } of plan.transactions) {
    const data = UPPER_BOUND + size.toString(16).padStart(64, "0");
    try {
      fees.push(await node.quantity("eth_call", { to: ORACLE, data }, "latest"));
    } catch (error) {
      // A local chain of the same id has no such contract, and charges nothing.
      if (error instanceof Failure) return null;
      throw error;
    }
  }
  return fees;
}

/**
 * What the account must have. `gas` is what its transactions use; `coins` is what they carry, for Multicall3; `size` is
 * what the chain charges for their size; `reserve` is what the node wants to see besides, because it counts the largest
 * transaction by its limit.
 */
export function needs(plan, price, multiplier = MULTIPLIER, fees = plan.transactions.map(() => 0n)) {
  let [gas, carried, size, largest, used, count] = [0n, 0n, 0n, 0n, 0n, 0];
  plan.transactions.forEach((one, at) => {
    if (one.gasPrice !== null) return;
    used += one.gas;
    gas += one.gas * price;
    carried += one.value;
    size += fees?.[at] ?? 0n;
    count += 1;
    if (one.gas > largest) largest = one.gas;
  });
  const over = BigInt(multiplier) * ROUNDED_UP - 100_000n;
  const reserve = (largest * price * over + 99_999n) / 100_000n;
  return { count, used, gas, coins: carried, size, reserve, total: gas + carried + size + reserve };
}

/** Says that an account has too little, what is needed and what for; undefined if it has enough. */
export function shortage(plan, price, balance, need) {
  if (balance >= need.total) return undefined;
  const reasons = [
    `  ${coins(need.gas)} for the gas of ${need.count} transactions: ${figure(need.used)} at ${coins(price, 9)} gwei`,
    `  ${coins(need.reserve)} that must be there besides and is not spent: a node counts a transaction's limit, not its use`,
  ];
  if (need.size > 0n) reasons.push(`  ${coins(need.size)} that this chain charges for the size of the transactions`);
  const carried = plan.transactions.find((one) => one.value > 0n);
  if (carried) {
    reasons.push(
      `  ${coins(need.coins)} for ${carried.name}: its author signed its creation at a fixed price, to be paid by`,
      `    ${carried.to}, which is given them. SALT402_MULTICALL3=false leaves it out.`,
    );
  }
  return [
    `${plan.account} has too little to deploy on chain ${plan.chainId}. Nothing was sent.`,
    `It has ${coins(balance)} coins, and needs ${coins(need.total)}:`,
    ...reasons,
    `Send it at least ${coins(need.total - balance)} more, and try again.`,
  ].join("\n");
}

/** The plan as text: what is there, what is sent, and what it costs. */
export function describe(plan, price, balance, need, fees) {
  const lines = [`Chain ${plan.chainId}`, ""];
  lines.push(
    ...table(plan.contracts.map(({ name, address, isThere }) => [name, address, isThere ? "is there" : "is missing"])),
  );
  if (plan.transactions.length === 0) return [...lines, "", "Nothing is missing: nothing to send."].join("\n");

  const rows = plan.transactions.map((one, at) => [
    one.value > 0n ? `coins for ${one.name}` : one.name,
    one.from ?? "nobody named yet",
    one.to ?? "creates it",
    figure(one.size),
    figure(one.gas),
    one.gasPrice === null ? coins(one.gas * price + one.value + (fees?.[at] ?? 0n)) : "paid by its author",
  ]);
  lines.push("", ...table([["for", "from", "to", "bytes", "gas", "coins at most"], ...rows], 3), "");
  lines.push(`The gas costs at most ${coins(price, 9)} gwei.`);
  const spent = need.total - need.reserve;
  lines.push(`Sum: ${coins(spent)} coins from ${plan.account ?? "an account that is not named yet"}.`);
  if (fees === null) lines.push("This chain also charges for the size of transactions, and does not say how much.");
  const fixed = plan.transactions.find((one) => one.gasPrice !== null);
  if (fixed) lines.push(`${fixed.name} is paid for by its author's account, ${fixed.from}, which is given what it lacks.`);
  if (!plan.account) {
    lines.push("Name the account with ETH_FROM=0x… to see whether it can pay.");
  } else {
    lines.push(`It must have ${coins(need.total)}, and has ${coins(balance)}.`);
  }
  return lines.join("\n");
}

const figure = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

/** Columns from `right` on are aligned to the right. */
function table(rows, right = Infinity) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column < right ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join("  ")
      .trimEnd(),
  );
}
