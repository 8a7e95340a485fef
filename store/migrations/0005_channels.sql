-- What happened to payment channels. As with payments, one row an inclusion: an event whose transaction moved to another
-- block has a row for each block it was in, and at most one of them is on the chain. What a channel is follows from its
-- rows and is stored nowhere else, so taking rows off the chain takes the state back.
--
-- `kind` is the number of what happened (src/channel.rs). `total` is what there was in all afterwards, `amount` what it
-- was about, both as amounts are; `at` is a time in seconds. What a kind does not have is NULL.
CREATE TABLE channel_events (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    event_id         BLOB    NOT NULL,
    contract         BLOB    NOT NULL,
    channel          BLOB    NOT NULL,
    transaction_hash BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    kind             INTEGER NOT NULL,
    total            BLOB,
    amount           BLOB,
    at               INTEGER,
    payer            BLOB,
    payee            BLOB,
    asset            BLOB,
    signer           BLOB,
    claimer          BLOB,
    exit_delay       INTEGER,
    salt             BLOB,
    canonical        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX channel_events_inclusion ON channel_events (chain_id, event_id, block_hash);
CREATE UNIQUE INDEX channel_events_once ON channel_events (chain_id, event_id) WHERE canonical;
-- Claims are most of the rows. By `total` the greatest is found at once, however many there are.
CREATE INDEX channel_events_of ON channel_events (chain_id, contract, channel, kind, total) WHERE canonical;
CREATE INDEX channel_events_by_height ON channel_events (chain_id, block_number) WHERE canonical;
CREATE INDEX channel_events_orphaned_by_height ON channel_events (chain_id, block_number) WHERE NOT canonical;
-- Only events that describe a channel, or are of a credit, name accounts.
CREATE INDEX channel_events_by_payee ON channel_events (chain_id, payee, id) WHERE canonical AND payee IS NOT NULL;
CREATE INDEX channel_events_by_payer ON channel_events (chain_id, payer, id) WHERE canonical AND payer IS NOT NULL;

-- Which payment a movement of money is: the first that was seen to count it, for good. A transfer of a token in a
-- transaction is named once, so no second payment can count it, whatever sources are followed later. A payment that is
-- named by its payer's nonce can be in several transactions over time; here they are found.
CREATE TABLE settlements (
    chain_id         INTEGER NOT NULL,
    movement         BLOB    NOT NULL,
    payment_id       BLOB    NOT NULL,
    transaction_hash BLOB    NOT NULL,
    PRIMARY KEY (chain_id, movement)
) STRICT, WITHOUT ROWID;

CREATE INDEX settlements_of_payment ON settlements (chain_id, payment_id);

-- What may be a payment and can be read in two ways. It is none; a person must look.
CREATE TABLE ambiguities (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    ambiguity_id     BLOB    NOT NULL,
    transaction_hash BLOB    NOT NULL,
    contract         BLOB    NOT NULL,
    reason           TEXT    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    canonical        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX ambiguities_inclusion ON ambiguities (chain_id, ambiguity_id, block_hash);
CREATE INDEX ambiguities_by_height ON ambiguities (chain_id, block_number) WHERE canonical;
CREATE INDEX ambiguities_on_chain ON ambiguities (chain_id, id) WHERE canonical;
