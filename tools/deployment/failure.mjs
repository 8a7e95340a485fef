// What an operator did or met, as against a fault of ours: it is told in words, without a stack.
export class Failure extends Error {}

/** Runs a tool's `main`; a failure becomes a message and the exit code 1. */
export async function run(main) {
  try {
    process.exitCode = await main(process.argv.slice(2), process.env);
  } catch (error) {
    console.error(error instanceof Failure ? error.message : error);
    process.exitCode = 1;
  }
}
