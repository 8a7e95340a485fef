-- Asks salt402 whether a request may pass. What it refuses is answered here; of what may pass, who paid is left in
-- variables of the transaction. Only txn.payment_status = 200 means that it may pass.

-- Sent on to salt402, and on to the client.
local SHOWN = {
	"host", "x-payment-proof", "x-payment-quote", "x-payment-binding",
	"payment-signature", "x-payment", "authorization", "payment-authorization",
	"x-payment-signature", "x-payment-asset", "x-payment-nonce", "x402-proof",
}
local TOLD = {
	"content-type", "x-payment-details", "x-payment-code", "retry-after",
	"payment-required", "www-authenticate",
	"x-payment-required", "x-payment-amount", "x-payment-asset", "x-payment-network", "x-payment-recipient", "x-payment-domain",
	"x-payment-requirements",
}
-- What a signed payment came to, and the variables in which it is left.
local RECEIPTS = {
	["payment-response"] = "txn.payment_response",
	["x-payment-response"] = "txn.x_payment_response",
	["payment-receipt"] = "txn.payment_receipt",
}
local NO_ANSWER = '{"type":"urn:salt402:problem:verifier_unavailable","title":"Payments cannot be verified now",'
	.. '"status":503,"code":"verifier_unavailable","detail":"the proxy got no answer from salt402: try again later"}'

local function first(answer, name)
	local values = answer.headers and answer.headers[name]
	return values and values[0]
end

-- The answer to a request that may not pass: a refusal as it is, and anything else as 503.
local function refuse(txn, answer)
	local status = answer.status or 0
	local reply = txn:reply()
	local refused = status >= 400 and status <= 499
	-- Where nobody listens, HAProxy's client answers 503 itself, as HTML.
	local problem = status >= 500 and first(answer, "content-type") == "application/problem+json"
	reply:set_status(refused and status or 503)
	if refused or problem then
		for _, name in ipairs(TOLD) do
			-- Of some headers there are several: each is a way to pay.
			for _, value in pairs(answer.headers and answer.headers[name] or {}) do
				reply:add_header(name, value)
			end
		end
		reply:set_body(answer.body or "")
	else
		reply:add_header("content-type", "application/problem+json")
		reply:add_header("x-payment-code", "verifier_unavailable")
		reply:set_body(NO_ANSWER)
	end
	reply:add_header("cache-control", "no-store, private")
	reply:add_header("vary", "X-Payment-Proof, X-Payment-Quote, X-Payment-Binding, PAYMENT-SIGNATURE, X-PAYMENT, X-Payment-Signature, X402-Proof, Authorization, Payment-Authorization")
	txn:done(reply)
end

core.register_action("forward_auth", { "http-req" }, function(txn, address)
	local sent = txn.http:req_get_headers()
	local headers = {
		["x-original-method"] = { txn.sf:method() },
		["x-original-uri"] = { txn.sf:pathq() },
		["x-forwarded-for"] = { txn.sf:src() },
	}
	-- A header that came twice is sent on twice, and refused: it has two readings.
	for _, name in ipairs(SHOWN) do
		if sent[name] then
			local values = {}
			for _, value in pairs(sent[name]) do values[#values + 1] = value end
			headers[name] = values
		end
	end
	local answer = core.httpclient():get({
		url = "http://" .. address .. "/v1/forward-auth",
		headers = headers,
		timeout = 60000,
	})
	if answer.status ~= 200 then return refuse(txn, answer) end
	-- What is free was paid by nobody: the variables stay unset.
	for _, what in ipairs({ "payer", "id", "amount" }) do
		local value = first(answer, "x-payment-" .. what)
		if value then txn:set_var("txn.payment_" .. what, value) end
	end
	for name, variable in pairs(RECEIPTS) do
		local value = first(answer, name)
		if value then txn:set_var(variable, value) end
	end
	txn:set_var("txn.payment_status", answer.status)
end, 1)
