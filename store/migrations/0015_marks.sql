-- A disagreement of nodes about a payment is one incident with a count, found by its payment.
CREATE INDEX incidents_nodes_disagree ON incidents (chain_id, payment_id) WHERE kind = 'nodes_disagree';

-- A step that undoes blocks or forgets headers looks at the marks of its heights, and at no older ones.
CREATE INDEX merged_transactions_by_height ON merged_transactions (chain_id, block_number);
