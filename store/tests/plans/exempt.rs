//! What is allowed, and why.

/// What a `format!` takes from a variable or a call, by its name.
pub(crate) const FILLS: &[(&str, &[&str])] = &[
    ("index", &["INDEXED BY exposures_orphaned"]),
    ("which", &["block_number IS NULL", "block_number IS NULL AND payment_id = ?2"]),
];

/// Where texts are parts of statements that are put together as they run; their plans are tested where they are made.
pub(crate) const PARTS: &[(&str, &str)] =
    &[("grants/exposure.rs::ON_CHAIN", "a part of what follow_those makes")];

/// Steps that may read or sort: the place, how the step begins, and why.
pub(crate) const EXEMPT: &[(&str, &str, &str)] = &[
    // Once, or by a command next to the service.
    (
        "channels/totals_upgrade.rs::OPEN_ACCOUNTS",
        "SCAN v",
        "adds up once, when a database of before the totals is opened",
    ),
    ("channels/risk_rows.rs::open", "SCAN i", "the same"),
    ("engine/schema.rs::migrate", "SCAN _sqlx_migrations", "one row a version of the schema, at a start"),
    ("engine/backup.rs::note_restore", "SCAN claims", "a restore, with nothing beside it"),
    ("engine/backup.rs::note_restore", "SCAN charges", "the same"),
    (
        "chains/coverage.rs::adopt",
        "SCAN payments",
        "the first row, once, of a database that does not say what was read",
    ),
    // On the writer, and as long as what is at hand.
    ("follow/apply.rs::prune", "SEARCH blocks", "what is below was forgotten by the step before"),
    (
        "follow/placed_rows.rs::TABLES",
        "USE TEMP B-TREE FOR ORDER BY",
        "what left the chain at the heights of a step",
    ),
    ("follow/undecoded.rs::insert_undecoded", "", "a thousand rows are kept"),
    ("grants/exposure.rs::follow_those", "USE TEMP B-TREE FOR ORDER BY", "the transactions of one signature"),
    ("grants/exposure.rs::follow_those", "SEARCH exposures", "no more than the step is long"),
    ("grants/exposure.rs::follow", "SEARCH exposures", "stops at a number of rows"),
    ("grants/exposure.rs::write", "SEARCH exposures", "grants that are not final"),
    ("grants/exposure.rs::write", "SEARCH i USING", "incidents that are open, when a limit is set"),
    ("incidents/orphaned_grant.rs::RESOLVE_ALL", "SEARCH incidents", "no more than the step is long"),
    ("incidents/orphaned_grant.rs::resolve_returned", "SEARCH incidents", "stops at a number of rows"),
    ("incidents/refund_lost.rs::BACK", "SEARCH incidents", "those of refunds that are open"),
    ("incidents/strange_operator.rs::write", "SEARCH", "what the configuration names, at a start"),
    ("follow/merged.rs::marks", "SEARCH merged_transactions", "stops at a number of rows"),
    ("follow/merged.rs::SELECT", "SEARCH merged_transactions", "no more than the step is long"),
    ("follow/merged.rs::prune", "SEARCH b ", "the lowest of an index"),
    ("follow/merged.rs::reinstate", "SEARCH b ", "the lowest of an index"),
    ("follow/merged.rs::release", "SEARCH merged_transactions", "whether there is one"),
    ("incidents/notices.rs::write", "SEARCH notices", "some at a time, in the order of the index"),
    (
        "grants/reservations.rs::write",
        "SEARCH reservations USING INDEX reservations_by_age",
        "some at a time, in the order of the index",
    ),
    ("settlements/called_valid.rs::write", "SEARCH called_valid", "some hundred, below a number that rises"),
    ("grants/outcome.rs::write", "SEARCH outcomes", "some at a time, in the order of the index"),
    ("grants/charges_written_off.rs::charges", "SCAN charges", "the newest, as many as are asked for"),
    ("accounts/draws.rs::open_draws", "SEARCH e ", "some at a time, in the order of the index"),
    ("grants/charges.rs::due_charges", "SEARCH charges", "some at a time, in the order of the index"),
    ("grants/charges.rs::ended_charges", "SEARCH charges", "some at a time, in the order of the index"),
    ("incidents/channel_risk.rs::follow", "SEARCH vouchers", "whether there is one"),
    ("follow/unreadable.rs::open_incident", "SEARCH incidents", "the one that is open of its chain"),
    (
        "settlements/attempts.rs::write",
        "SEARCH settlement_attempts",
        "some at a time, in the order of the index",
    ),
    ("settlements/gas.rs::prune", "SEARCH settlement_gas", "days that were over a month ago, once each"),
    (
        "settlements/slots.rs::open_slots",
        "SEARCH settlement_transactions",
        "what may be mined, which is bounded",
    ),
    ("settlements/slots.rs::mined_slots", "SEARCH t ", "what is not final"),
    // One row, at an end of an index or of the table.
    ("payments/query.rs::newest_row", "SEARCH payments", "the last row"),
    ("payments/references.rs::ENDS", "SEARCH payments", "the first or the last of an index"),
    ("store/mod.rs::PROGRESS", "", "the last rows, and as many as there are chains"),
    // Reports and what runs now and then, on connections that only read.
    ("channels/page.rs::unclaimed_channels", "", "a report"),
    ("follow/orphans.rs::ORPHANED", "USE TEMP B-TREE", "grants that left the chain lately"),
    ("follow/ambiguities.rs::ambiguities", "SEARCH ambiguities", "a page, in the order of the index"),
    ("channels/state.rs::channels_of", "USE TEMP B-TREE", "a report of one account"),
    ("reports/counts.rs::counts", "SEARCH i ", "incidents that are open"),
    ("grants/exposure.rs::exposures", "", "grants that are not final"),
    ("chains/halt.rs::known_at_or_below", "", "one row of each, in the order of the index"),
    (
        "incidents/incident.rs::incident_counts",
        "",
        "counts incidents, of which there are few, every few seconds",
    ),
    ("incidents/incident.rs::incidents_where", "SCAN i", "a page, from the newest on"),
    (
        "settlements/orders.rs::settlements_where",
        "SEARCH o USING INTEGER PRIMARY KEY (rowid<?)",
        "a page, from the newest on",
    ),
    ("reports/gauges.rs::set_gauges", "SCAN incidents", "incidents that are open"),
    ("incidents/notices.rs::due_notices", "SCAN n", "what is to be told, in the order of the index"),
    ("incidents/notices.rs::waiting_notices", "SCAN notices", "what is to be told"),
    ("grants/outcome.rs::newest_doomed", "", "answers that are kept, as many as the disk is given"),
    ("reports/overview.rs::read", "SEARCH i ", "incidents that are open"),
    ("follow/undecoded.rs::undecoded_logs", "", "a thousand rows are kept"),
    (
        "follow/unreadable.rs::unreadable_due",
        "SEARCH unreadable_transactions",
        "some at a time, in the order of the index",
    ),
    ("grants/unserved.rs::all_unserved", "", "a report"),
];
