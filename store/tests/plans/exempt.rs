//! What is allowed, and why.

/// What a `format!` takes from a variable or a call, by its name.
pub(crate) const FILLS: &[(&str, &[&str])] = &[
    ("index", &["INDEXED BY exposures_lost"]),
    ("which", &["block_number IS NULL", "block_number IS NULL AND payment_id = ?2"]),
];

/// Where texts are parts of statements that are put together as they run; their plans are tested beside them.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("claim.rs::insert", "as many rows as there are claims follow"),
    ("exposure.rs::ON_CHAIN", "a part of what follow_those makes"),
];

/// Steps that may read or sort: the place, how the step begins, and why.
pub(crate) const EXEMPT: &[(&str, &str, &str)] = &[
    // Once, or by a command beside the service.
    ("account.rs::OPEN_ACCOUNTS", "SCAN v", "adds up once, when a database of before the totals is opened"),
    ("risk.rs::open", "SCAN i", "the same"),
    ("backup.rs::note_restore", "SCAN claims", "a restore, with nothing beside it"),
    (
        "coverage.rs::adopt",
        "SCAN payments",
        "the first row, once, of a database that does not say what was read",
    ),
    // On the writer, and as long as what is at hand.
    ("apply.rs::prune", "SEARCH blocks", "what is below was forgotten by the step before"),
    ("apply.rs::restore", "USE TEMP B-TREE FOR ORDER BY", "what left the chain at the heights of a step"),
    ("bulk.rs::insert_undecoded", "", "a thousand rows are kept"),
    ("exposure.rs::follow_those", "USE TEMP B-TREE FOR ORDER BY", "the transactions of one signature"),
    ("exposure.rs::follow_those", "SEARCH exposures", "no more than the step is long"),
    ("exposure.rs::follow", "SEARCH exposures", "stops at a number of rows"),
    ("exposure.rs::write", "SEARCH exposures", "grants that are not final"),
    ("exposure.rs::write", "SEARCH i USING", "incidents that are open, when a limit is set"),
    ("lost.rs::RESOLVE_ALL", "SEARCH incidents", "no more than the step is long"),
    ("lost.rs::resolve_found", "SEARCH incidents", "stops at a number of rows"),
    ("merged.rs::marks", "SEARCH merged_transactions", "stops at a number of rows"),
    ("merged.rs::SELECT", "SEARCH merged_transactions", "no more than the step is long"),
    ("merged.rs::prune", "SEARCH b ", "the lowest of an index"),
    ("merged.rs::reinstate", "SEARCH b ", "the lowest of an index"),
    ("merged.rs::release", "SEARCH merged_transactions", "whether there is one"),
    ("notice.rs::write", "SEARCH notices", "some at a time, in the order of the index"),
    ("outcome.rs::write", "SEARCH outcomes", "some at a time, in the order of the index"),
    ("risk.rs::follow", "SEARCH vouchers", "whether there is one"),
    ("unreadable.rs::open_incident", "SEARCH incidents", "the one that is open of its chain"),
    // One row, at an end of an index or of the table.
    ("payment.rs::newest_row", "SEARCH payments", "the last row"),
    ("references.rs::ENDS", "SEARCH payments", "the first or the last of an index"),
    ("store.rs::PROGRESS", "", "the last rows, and as many as there are chains"),
    // Reports and what runs now and then, on connections that only read.
    ("channel_page.rs::unclaimed_channels", "", "a report"),
    ("astray.rs::ASTRAY", "USE TEMP B-TREE", "grants that left the chain lately"),
    ("beside.rs::ambiguities", "SEARCH ambiguities", "a page, in the order of the index"),
    ("channel.rs::channels_of", "USE TEMP B-TREE", "a report of one account"),
    ("counts.rs::counts", "SEARCH i ", "incidents that are open"),
    ("exposure.rs::exposures", "", "grants that are not final"),
    ("halt.rs::known_at_or_below", "", "one row of each, in the order of the index"),
    ("incident.rs::incident_counts", "", "counts incidents, of which there are few, every few seconds"),
    ("incident.rs::incidents_where", "SCAN i", "a page, from the newest on"),
    ("measure.rs::measure", "SCAN incidents", "incidents that are open"),
    ("notice.rs::due_notices", "SCAN n", "what is to be told, in the order of the index"),
    ("notice.rs::waiting_notices", "SCAN notices", "what is to be told"),
    ("outcome.rs::newest_doomed", "", "answers that are kept, as many as the disk is given"),
    ("overview.rs::read", "SEARCH i ", "incidents that are open"),
    ("undecoded.rs::undecoded_logs", "", "a thousand rows are kept"),
    (
        "unreadable.rs::unreadable_due",
        "SEARCH unreadable_transactions",
        "some at a time, in the order of the index",
    ),
    ("unserved.rs::all_unserved", "", "a report"),
];
