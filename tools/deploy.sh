#!/usr/bin/env bash
# Deploys what is missing on a chain and writes deployments/<chain id>.json: `make deploy`.
#
#   ETH_RPC_URL              the node
#   SALT402_DEPLOYER_KEY     who pays, as a private key; or
#   ETH_KEYSTORE_ACCOUNT     the name of an account in forge's keystore (`cast wallet import NAME --interactive`).
#                            Its password is asked for, or read from the file that ETH_PASSWORD names
#
# Where nothing is missing neither is needed, nothing is sent, and the file stays as it is. Nothing secret is an argument,
# which every process on the machine could read. What else can be chosen is said in script/Deploy.s.sol. Arguments go to
# `forge script`: --slow, as `make deploy` has it, waits for each transaction.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${ETH_RPC_URL:?is not set: the address of the node, as in ETH_RPC_URL=http://127.0.0.1:8545 make deploy}"
export ETH_RPC_URL
if [ -z "${SALT402_DEPLOYER_KEY:-}${ETH_KEYSTORE_ACCOUNT:-}" ]; then
	echo "Neither SALT402_DEPLOYER_KEY nor ETH_KEYSTORE_ACCOUNT is set: this can find out what is there, and send nothing." >&2
fi

tools/forge script script/Deploy.s.sol --rpc-url deployment --broadcast "$@"
node tools/transactions.mjs "${SALT402_DEPLOYMENTS:-deployments}" "${FOUNDRY_BROADCAST:-broadcast}"
