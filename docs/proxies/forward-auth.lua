-- Asks salt402 whether a request may pass, and leaves its answer in variables of the transaction.
core.register_action("forward_auth", { "http-req" }, function(txn, address)
	local sent = txn.http:req_get_headers()
	local headers = {
		["x-original-method"] = { txn.sf:method() },
		["x-original-uri"] = { txn.sf:pathq() },
		["x-forwarded-for"] = { txn.sf:src() },
	}
	-- A header that came twice is sent on twice, and refused: it has two readings.
	for _, name in ipairs({ "x-payment-proof", "x-payment-quote", "x-payment-binding" }) do
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
	local function first(name)
		local values = answer.headers and answer.headers[name]
		return values and values[0] or ""
	end
	txn:set_var("txn.payment_status", answer.status or 0)
	txn:set_var("txn.payment_body", answer.body or "")
	txn:set_var("txn.payment_type", first("content-type"))
	txn:set_var("txn.payment_details", first("x-payment-details"))
	txn:set_var("txn.payment_code", first("x-payment-code"))
	txn:set_var("txn.payment_retry", first("retry-after"))
	txn:set_var("txn.payment_payer", first("x-payment-payer"))
end, 1)
