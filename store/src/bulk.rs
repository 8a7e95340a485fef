//! Many rows in few statements.

/// Rows of one statement. Few lengths, so that any number of rows is a handful of texts that stay prepared.
const ROWS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// Rows cut into slices of the lengths that statements are made for, the longest first.
pub(crate) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (chunk, rest) = rows.split_at(length);
        rows = rest;
        Some(chunk)
    })
}
