#!/usr/bin/env bash
# A chain, the contracts and salt402 on this machine, without any other.
#
#   tools/local.sh demo   one paid request, shown step by step; then everything is stopped
#   tools/local.sh up     the same set-up on fixed ports, until Ctrl-C
#
# MODEL=real sells llama.cpp's server with a small model, which `make model` builds, in place of made-up words.
# LOCAL_PORTS has other ports for `up`: of the chain, the verifier, the gateway, those that the printed commands name for a
# file server and Caddy, and of the facilitator. LOCAL_HOME is another folder for logs and data, below scratch.
#
# The keys are anvil's public ones: they are known to everybody and hold nothing anywhere else.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-}
case $mode in demo | up) ;; *)
	echo "usage: tools/local.sh demo|up" >&2
	exit 2
	;;
esac

anvil=tools/anvil
# Where cargo builds to: CARGO_TARGET_DIR and cargo's own configuration may name another folder than target.
built=$(cargo metadata --no-deps --offline --format-version 1 |
	node -p 'JSON.parse(require("fs").readFileSync(0)).target_directory')
salt402=${built#"$PWD/"}/debug/salt402
for needed in node_modules/.stamp "$salt402"; do
	[ -e "$needed" ] || { echo "$needed is missing: run make $mode, which builds it" >&2; exit 1; }
done

model=${MODEL:-demo}
case $model in
demo) upstream=demo sold="Deterministic words, no GPU" ;;
real)
	for needed in scratch/llama/llama-server scratch/llama/model.gguf; do
		[ -e "$needed" ] || { echo "$needed is missing: run make model, which builds it" >&2; exit 1; }
	done
	sold="SmolLM2-135M-Instruct, by llama.cpp on this machine's processor"
	;;
*)
	echo "MODEL is demo or real, not $model" >&2
	exit 2
	;;
esac

deployer_key=0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80
payer_key=0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d
payee=0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC
payer=0x70997970C51812dc3A010C7d01b50e0d17dc79C8
# anvil's fifth: it pays the gas of what payers sign.
settling_key=0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a

# Ports that are free now, so that a demonstration disturbs nothing.
free_ports() { # how many
	node -e '
		const net = require("net"), servers = Array.from({ length: Number(process.argv[1]) }, () => net.createServer().listen(0, "127.0.0.1"));
		servers.at(-1).on("listening", () => servers.forEach(s => { console.log(s.address().port); s.close(); }));' "$1"
}
if [ "$mode" = up ]; then
	read -r -a ports <<<"${LOCAL_PORTS:-8545 4020 4021 8000 8080 4023}"
else
	mapfile -t ports < <(free_ports 4)
fi
rpc=http://127.0.0.1:${ports[0]}
verifier=http://127.0.0.1:${ports[1]}
gateway=http://127.0.0.1:${ports[2]}
if [ "$mode" = up ]; then facilitator=http://127.0.0.1:${ports[5]:-4023}; else facilitator=http://127.0.0.1:${ports[3]}; fi

home=${LOCAL_HOME:-scratch/local/$mode}
[ -n "${LOCAL_HOME:-}" ] || rm -rf "$home"
mkdir -p "$home"

pids=()
stop() {
	status=$?
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	[ $status -eq 0 ] || [ "$mode" = up ] || tail -n 20 "$home"/*.log >&2
	exit $status
}
trap stop EXIT
trap 'exit 0' INT TERM

started=$(date +%s%N)
at() { printf '%6d ms' $((($(date +%s%N) - started) / 1000000)); }
step() { printf '\n\033[1m%s  %s\033[0m\n' "$(at)" "$1"; }
show() { sed 's/^/            /'; }
until_ready() { # what, url
	for _ in $(seq 1 150); do
		curl -fsS -o /dev/null --max-time 2 "$2" 2>/dev/null && return
		for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || { echo "$1 ended; see $home" >&2; exit 1; }; done
		sleep 0.1
	done
	echo "$1 did not get ready within 15 s; see $home" >&2
	exit 1
}

step "a chain: anvil with Citrate's chain id, 40204, a block a second"
"$anvil" --chain-id 40204 --port "${ports[0]}" --block-time 1 --silent \
	--max-persisted-states 0 --cache-path "$home/anvil" >"$home/anvil.log" 2>&1 &
pids+=($!)
for _ in $(seq 1 100); do
	curl -fsS -o /dev/null --max-time 2 -H 'content-type: application/json' \
		-d '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}' "$rpc" 2>/dev/null && break
	sleep 0.1
done
echo "$rpc" | show

step "the contracts: deployed by the forge script through the CREATE2 factory"
# forge runs the script in the newest block, and SaltChannels reads the hash of the block before its own.
curl -fsS -o /dev/null --max-time 2 -H 'content-type: application/json' \
	-d '{"jsonrpc":"2.0","id":1,"method":"anvil_mine","params":["0x1"]}' "$rpc"
ETH_RPC_URL=$rpc SALT402_DEPLOYER_KEY=$deployer_key SALT402_DEPLOYMENTS=$home/deployments \
	FOUNDRY_BROADCAST=$home/broadcast node tools/deploy.mjs run >"$home/deploy.log" 2>&1 ||
	{ cat "$home/deploy.log" >&2; exit 1; }
show <"$home/deployments/40204.json"

if [ "$model" = real ]; then
	step "a real model: llama.cpp's server with SmolLM2-135M-Instruct"
	model_port=$(free_ports 1)
	scratch/llama/llama-server --model scratch/llama/model.gguf --alias SmolLM2 --ctx-size 8192 --parallel 4 --host 127.0.0.1 --port "$model_port" \
		>"$home/model.log" 2>&1 &
	pids+=($!)
	until_ready "llama-server" "http://127.0.0.1:$model_port/health"
	upstream="http://127.0.0.1:$model_port/v1\"
server = \"llama.cpp"
	echo "http://127.0.0.1:$model_port/v1" | show
fi

step "salt402 up: indexer, verifier, gateway and facilitator in one process"
printf %s "$settling_key" >"$home/settle.key"
chmod 600 "$home/settle.key"
wrapped=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).contracts.WrappedSalt.address' "$home/deployments/40204.json")
cat >"$home/salt402.toml" <<TOML
data = "data"

[chains.local]
rpc = "$rpc"
ws = "ws://127.0.0.1:${ports[0]}"
deployments = "deployments"

[verifier]
listen = "127.0.0.1:${ports[1]}"

[payment]
chain = "local"
payee = "$payee"

# What clients of x402 sign; see docs/x402.md.
[payment.signatures]
token = "$wrapped"
domain_name = "Wrapped SALT"

# What a proxy asks before it serves; see docs/proxy.md.
[[forward_auth.routes]]
path = "/paid/*"
methods = ["GET", "HEAD"]
price = "0.001 SALT"
description = "a file"

[[forward_auth.routes]]
path = "/free/*"
price = "0"

[gateway]
listen = "127.0.0.1:${ports[2]}"

# Settles what payers sign; see docs/facilitator.md.
[facilitator]
listen = "${facilitator#http://}"
keys = [{ file = "settle.key" }]
# Every local chain has the same id and the same key: each is locked for itself.
locks = "."

[gateway.models.demo]
upstream = "$upstream"
description = "$sold"
price_per_request = "0.0005 SALT"
price_per_token = "0.00001 SALT"
default_tokens = 32
max_tokens = 64

[gateway.models.smart]
upstream = "$upstream"
description = "The same, dearer"
price_per_request = "0.0008 SALT"
default_tokens = 32
max_tokens = 512

# The best of both, under one name; see docs/routes.md.
[[gateway.routes]]
name = "auto"
candidates = ["demo", "smart"]
TOML
"$salt402" config check --config "$home/salt402.toml" | show
"$salt402" up --config "$home/salt402.toml" >"$home/salt402.log" 2>&1 &
pids+=($!)
until_ready "salt402" "$verifier/readyz"
until_ready "salt402" "$gateway/readyz"
until_ready "salt402" "$facilitator/health"

body='{"model":"demo","prompt":"Why is the sea salt?"}'
url=$gateway/v1/inference

if [ "$mode" = up ]; then
	cat <<TEXT

Ready. In another terminal:

  curl -i -H 'content-type: application/json' -d '$body' $url

  SALT402_KEY=$payer_key \\
    $salt402 pay $url --network local --rpc $rpc --max '0.01 SALT' --data '$body'

  $salt402 status --url $verifier

A paid path before any HTTP server, here a file server behind Caddy (\`make caddy\` installs it on Debian and Ubuntu):

  mkdir -p scratch/files/paid scratch/files/free
  echo 'a paid file' >scratch/files/paid/file.txt
  echo 'a free file' >scratch/files/free/file.txt
  python3 -m http.server --bind 127.0.0.1 --directory scratch/files ${ports[3]}

in the next terminal

  SALT402=127.0.0.1:${ports[1]} BACKEND=127.0.0.1:${ports[3]} PORT=${ports[4]} caddy run --adapter caddyfile --config docs/proxies/Caddyfile

and in one more

  curl -i http://127.0.0.1:${ports[4]}/free/file.txt
  curl -i http://127.0.0.1:${ports[4]}/paid/file.txt
  export SALT402_KEY=$payer_key
  $salt402 pay http://127.0.0.1:${ports[4]}/paid/file.txt --network local --rpc $rpc --max '0.01 SALT'

Logs and database are in $home. Ctrl-C stops everything.
TEXT
	wait -n
	echo "a part ended; see $home" >&2
	exit 1
fi

step "the payer asks, and pays nothing: 402, with what it costs and how to pay"
curl -sS -o "$home/402.json" -D "$home/402.headers" -H 'content-type: application/json' -d "$body" "$url"
grep -iE '^(HTTP|cache-control|x-payment-details)' "$home/402.headers" | tr -d '\r' | cut -c1-160 | show
node -e '
	const d = JSON.parse(require("fs").readFileSync(process.argv[1]));
	for (const k of ["code", "amount", "asset", "chain", "recipient", "paymentContract", "reference", "expiresAt"]) console.log(`${k}: ${d[k]}`);
	console.log(`for: ${d.resource.description}`);' "$home/402.json" | show

step "the payer pays and asks again: salt402 pay, with a limit of 0.01 SALT"
SALT402_RECEIPTS="$home/receipts" SALT402_KEY=$payer_key "$salt402" pay "$url" --network local --rpc "$rpc" --max '0.01 SALT' --data "$body" \
	>"$home/answer.json" 2>"$home/pay.log" || { cat "$home/pay.log" >&2; exit 1; }
show <"$home/pay.log"
show <"$home/answer.json"

step "a stream: the whole is paid for first, then each piece is passed on as it comes"
SALT402_RECEIPTS="$home/receipts" SALT402_KEY=$payer_key "$salt402" pay "$url/stream" --network local --rpc "$rpc" --max '0.01 SALT' --data "$body" \
	>"$home/stream.txt" 2>"$home/stream.log" || { cat "$home/stream.log" >&2; exit 1; }
show <"$home/stream.log"
grep '^data:' "$home/stream.txt" | sed '4,$ { $!d }' | show
grep -q '^data: \[DONE\]' "$home/stream.txt"

step "a batch: three requests, one payment, 5 % less than alone"
batch='{"requests":[{"model":"demo","prompt":"Why is the sea salt?"},{"model":"demo","prompt":"And the lakes?","max_tokens":8},{"model":"demo","prompt":"And tears?","max_tokens":8}]}'
printf %s "$batch" >"$home/batch.request"
"$salt402" price --config "$home/salt402.toml" --path /v1/inference/batch "$home/batch.request" | head -n 2 | show
SALT402_RECEIPTS="$home/receipts" SALT402_KEY=$payer_key "$salt402" pay "$url/batch" --network local --rpc "$rpc" --max '0.01 SALT' --data "$batch" \
	>"$home/batch.json" 2>"$home/batch.log" || { cat "$home/batch.log" >&2; exit 1; }
node -e '
	const { results } = JSON.parse(require("fs").readFileSync(process.argv[1]));
	results.forEach((r, place) => console.log(`${place}: ${r.output}`));
	if (results.length !== 3 || !results.every(r => r.output)) process.exit(1);' "$home/batch.json" | show

step "a route: one payment, and the best of two models answers that takes the request"
routed='{"prompt":"Why is the sea salt?","max_tokens":128}'
printf %s "$routed" >"$home/routed.request"
"$salt402" price --config "$home/salt402.toml" --path /v1/inference/routed "$home/routed.request" | show
SALT402_RECEIPTS="$home/receipts" SALT402_KEY=$payer_key "$salt402" pay "$url/routed" --network local --rpc "$rpc" --max '0.01 SALT' --data "$routed" \
	>"$home/routed.json" 2>"$home/routed.log" || { cat "$home/routed.log" >&2; exit 1; }
node -e '
	const answer = JSON.parse(require("fs").readFileSync(process.argv[1]));
	console.log(`${answer.model}: ${answer.output}`);
	if (answer.model !== "smart") process.exit(1);' "$home/routed.json" | show

step "the same proof for another request: refused"
proof=$(grep -oE 'transaction 0x[0-9a-f]{64}' "$home/pay.log" | head -n 1 | cut -d' ' -f2)
code=$(curl -sS -o "$home/replay.json" -w '%{http_code}' -H 'content-type: application/json' \
	-H "X-Payment-Proof: $proof" -d '{"model":"demo","prompt":"And the lakes?"}' "$url")
node -e '
	const d = JSON.parse(require("fs").readFileSync(process.argv[1]));
	console.log(`${process.argv[2]} ${d.code}: ${d.detail}`);
	if (process.argv[2] !== "402" || d.code === "payment_required") process.exit(1);' "$home/replay.json" "$code" | show

# The payer needs the token that is paid in. On a real chain it has some.
rpc() { # method, params
	curl -fsS --max-time 5 -H 'content-type: application/json' \
		-d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}" "$rpc" |
		node -p 'JSON.parse(require("fs").readFileSync(0)).result'
}
rpc eth_sendTransaction "[{\"from\":\"$payer\",\"to\":\"$wrapped\",\"value\":\"0xde0b6b3a7640000\",\"data\":\"0xd0e30db0\"}]" >"$home/wrap.hash"
for _ in $(seq 1 100); do
	[ "$(rpc eth_getTransactionReceipt "[\"$(cat "$home/wrap.hash")\"]")" != null ] && break
	sleep 0.1
done
sent_before=$(rpc eth_getTransactionCount "[\"$payer\",\"latest\"]")
signed_url=$gateway/v1/chat/completions
signed_body='{"model":"demo","max_tokens":8,"stream":true,"messages":[{"role":"user","content":"Why is the sea salt, by a signature?"}]}'
if [ -d tests/clients/node_modules/@x402/fetch ]; then
	step "x402's own client (@x402/fetch) pays for a streamed chat by a signature; the facilitator settles"
	node -e '
		const [key, url, body, asset] = process.argv.slice(1);
		const allowedAssets = [{ network: "eip155:40204", asset, maxAmountPerPayment: "1000000000000000" }];
		console.log(JSON.stringify({ key, urls: [url], body, allowedAssets }));' "$payer_key" "$signed_url" "$signed_body" "$wrapped" |
		node tests/clients/clients/fetch.mjs >"$home/signed.json" 2>"$home/client.log"
else
	step "a payer signs for a streamed chat and sends nothing; the facilitator settles (make test-clients installs x402's own client, which is shown here then)"
	curl -sS -o /dev/null -D "$home/required" -H 'content-type: application/json' -d "$signed_body" "$signed_url"
	node -e '
		const [headers, from, now] = process.argv.slice(1);
		const required = /^payment-required: (\S+)/im.exec(require("fs").readFileSync(headers, "utf8"))[1];
		const offer = JSON.parse(Buffer.from(required, "base64")).accepts[0];
		const field = (type, name) => ({ type, name });
		console.log(JSON.stringify({
			offer,
			typed: {
				primaryType: "TransferWithAuthorization",
				domain: { name: offer.extra.name, version: offer.extra.version, chainId: 40204, verifyingContract: offer.asset },
				types: {
					EIP712Domain: [field("string", "name"), field("string", "version"), field("uint256", "chainId"), field("address", "verifyingContract")],
					TransferWithAuthorization: [field("address", "from"), field("address", "to"), field("uint256", "value"), field("uint256", "validAfter"), field("uint256", "validBefore"), field("bytes32", "nonce")],
				},
				message: { from, to: offer.payTo, value: offer.amount, validAfter: "0", validBefore: String(Number(now) + 120), nonce: "0x" + require("crypto").randomBytes(32).toString("hex") },
			},
		}));' "$home/required" "$payer" "$(date +%s)" >"$home/typed.json"
	# anvil holds this key: no program is given it.
	typed=$(node -p 'JSON.stringify(JSON.parse(require("fs").readFileSync(process.argv[1])).typed)' "$home/typed.json")
	rpc eth_signTypedData_v4 "[\"$payer\",$typed]" >"$home/signature"
	signature=$(node -e '
		const fs = require("fs"), [typed, signature] = process.argv.slice(1);
		const { offer, typed: { message } } = JSON.parse(fs.readFileSync(typed));
		const payload = { signature: fs.readFileSync(signature, "utf8").trim(), authorization: message };
		console.log(Buffer.from(JSON.stringify({ x402Version: 2, accepted: offer, payload })).toString("base64"));' \
		"$home/typed.json" "$home/signature")
	code=$(curl -sS -o "$home/bought.json" -D "$home/settled" -w '%{http_code}' --max-time 60 -H 'content-type: application/json' \
		-H "PAYMENT-SIGNATURE: $signature" -d "$signed_body" "$signed_url")
	node -e '
		const fs = require("fs"), [status, body, headers] = process.argv.slice(1);
		const paymentResponse = /^payment-response: (\S+)/im.exec(fs.readFileSync(headers, "utf8"))?.[1];
		console.log(JSON.stringify({ status: Number(status), body: fs.readFileSync(body, "utf8"), paymentResponse }));' \
		"$code" "$home/bought.json" "$home/settled" >"$home/signed.json"
fi
node -e '
	const answer = JSON.parse(require("fs").readFileSync(process.argv[1]));
	const told = answer.paymentResponse ? JSON.parse(Buffer.from(answer.paymentResponse, "base64")) : {};
	console.log(`${answer.status ?? answer.error} ${answer.body}`);
	console.log(`settled: ${told.success}, transaction ${told.transaction}`);
	if (answer.status !== 200 || !told.success) process.exit(1);' "$home/signed.json" | show
grep -q 'data: \[DONE\]' <(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).body' "$home/signed.json")
[ "$(rpc eth_getTransactionCount "[\"$payer\",\"latest\"]")" = "$sent_before" ]
echo "the payer sent nothing, and paid no gas" | show
"$salt402" settlements list --config "$home/salt402.toml" | show

step "what the verifier knows"
"$salt402" status --url "$verifier" | show

step "done; everything is stopped"
