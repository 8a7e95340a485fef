//! Reads logs with `eth_getLogs`. Each request also asks for a header that shows which blocks the node has.

use alloy_primitives::B256;
use serde_json::json;

use crate::error::NodeError;
use crate::node::{At, Header, Log, LogFilter, LogQuery};
use crate::profile::Profile;
use crate::rpc::answers::{Answer, Answers};
use crate::rpc::check::Bounds;
use crate::rpc::http::Http;
use crate::rpc::questions::Question;
use crate::rpc::{check, questions, wire};

/// The most log queries in one batch. Their cost is spent at once.
const MAX_QUERIES_PER_BATCH: usize = 16;

pub(crate) struct LogReader<'a> {
    pub(crate) http: &'a Http,
    pub(crate) profile: &'a Profile,
}

impl LogReader<'_> {
    /// A block's header. `None`: the node does not have the block.
    pub(crate) async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let header: Option<wire::Header> = self.http.ask(&questions::header(at)).await?;
        header.map(|header| check::header(&header, at)).transpose()
    }

    /// The logs of one block.
    pub(crate) async fn of_block(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        if self.profile.logs_by_hash {
            self.by_hash(query, hash).await
        } else {
            self.by_height(query, hash).await
        }
    }

    async fn by_hash(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let ask = |filter: &LogFilter| questions::logs_of(filter, json!({ "blockHash": hash }));
        // Nodes return no logs for a block they lack. The header in the same request shows whether the node has it.
        let answer =
            self.ask_filters(At::Hash(hash), query, ask).await.map_err(|error| too_large(error, 1))?;
        let block = Bounds::Block(answer.header);
        answer.checked(block)
    }

    /// The logs of one block, from a node that accepts only heights.
    async fn by_height(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let header = self.header(At::Hash(hash)).await?.ok_or(NodeError::Behind)?;
        // A lagging node returns no logs for a missing block. The header in the same request shows whether it has one.
        let at = At::Number(header.number);
        let ask = |filter: &LogFilter| questions::logs(filter, header.number, header.number);
        let answer = self.ask_filters(at, query, ask).await.map_err(|error| too_large(error, 1))?;
        if answer.header.hash != hash {
            return Err(NodeError::Moved);
        }
        // A second look, in a separate request after the logs: an empty answer is only true if the height still belongs
        // to this block.
        let now = self.header(at).await?.ok_or(NodeError::Behind)?;
        if now.hash != hash {
            return Err(NodeError::Moved);
        }
        answer.checked(Bounds::Block(header))
    }

    /// The logs of the blocks between two heights, both included.
    pub(crate) async fn of_range(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
        if from > to {
            return Ok(Vec::new());
        }
        let (blocks, limit) = ((to - from).saturating_add(1), self.profile.logs_range);
        if blocks > limit {
            return Err(NodeError::RangeTooLarge { blocks, limit: Some(limit) });
        }
        // Nodes answer for the blocks they have. The last block's header in the same request shows whether all are
        // there.
        let ask = |filter: &LogFilter| questions::logs(filter, from, to);
        let answer = self.ask_filters(At::Number(to), query, ask).await;
        let answer = answer.map_err(|error| too_large(error, blocks))?;
        let last = answer.header;
        let logs = answer.checked(Bounds::Heights(from, to))?;
        match logs.last() {
            Some(log) if log.block_number == to && log.block_hash != last.hash => Err(NodeError::Moved),
            _ => Ok(logs),
        }
    }

    /// Asks for logs, with as many contracts per filter as the node accepts. Each request includes the header, because
    /// one node answers a whole request.
    async fn ask_filters(
        &self,
        at: At,
        query: &LogQuery,
        ask: impl Fn(&LogFilter) -> Question,
    ) -> Result<HeaderWithLogs, NodeError> {
        loop {
            let most = self.http.addresses.most();
            match self.ask_parts(at, query.parts(most), &ask).await {
                // The limit was learned from the refusal, so the next filters are smaller.
                Err(NodeError::TooManyAddresses { .. }) if self.http.addresses.most() < most => {}
                answer => return answer,
            }
        }
    }

    async fn ask_parts(
        &self,
        at: At,
        parts: Vec<LogFilter>,
        ask: &impl Fn(&LogFilter) -> Question,
    ) -> Result<HeaderWithLogs, NodeError> {
        let (mut header, mut answers) = (None::<Header>, Vec::with_capacity(parts.len()));
        let mut rest = parts.as_slice();
        while !rest.is_empty() {
            let together =
                self.http.batches.most().saturating_sub(1).min(MAX_QUERIES_PER_BATCH).clamp(1, rest.len());
            let (now, later) = rest.split_at(together);
            let asked: Vec<Question> =
                std::iter::once(questions::header(at)).chain(now.iter().map(ask)).collect();
            let named = now.iter().map(|filter| filter.contracts.len()).max().unwrap_or(0);
            let (shown, logs) = match self.http.ask_together(&asked).await {
                // As above.
                Err(NodeError::BatchTooLarge { .. }) if now.len() > 1 => continue,
                answer => {
                    self.header_and_logs(&answer.map_err(|error| self.http.named_too_many(error, named))?)?
                }
            };
            let shown = check::header(&shown, at)?;
            if header.is_some_and(|before| before != shown) {
                return Err(NodeError::Moved);
            }
            header = Some(shown);
            for (filter, logs) in now.iter().zip(logs) {
                let named = filter.contracts.len();
                answers.push((filter.clone(), logs.map_err(|error| self.http.named_too_many(error, named))?));
            }
            rest = later;
        }
        match header {
            Some(header) => Ok(HeaderWithLogs { header, answers }),
            None => {
                let header = self.header(at).await?.ok_or(NodeError::Behind)?;
                Ok(HeaderWithLogs { header, answers })
            }
        }
    }

    /// The results of a header request and log queries.
    fn header_and_logs(&self, answers: &Answers) -> Result<HeaderAndLogs, NodeError> {
        if let Some((header, logs)) = answers.object_and_list() {
            return Ok((header, vec![Ok(logs)]));
        }
        let mut answers = self.http.open(answers)?.into_iter();
        let header = answers.next().map(Answer::read::<Option<wire::Header>>).transpose()?.flatten();
        let header = header.ok_or(NodeError::Behind)?;
        Ok((header, answers.map(Answer::read).collect()))
    }
}

type HeaderAndLogs = (wire::Header, Vec<Result<Vec<wire::Log>, NodeError>>);

/// A header, the logs from the same request, and the filters that asked for them.
struct HeaderWithLogs {
    header: Header,
    answers: Vec<(LogFilter, Vec<wire::Log>)>,
}

impl HeaderWithLogs {
    /// Checks all logs against their filters. Returns them in chain order, each once.
    fn checked(self, bounds: Bounds) -> Result<Vec<Log>, NodeError> {
        let mut answers = self.answers.into_iter();
        let Some((first, logs)) = answers.next() else { return Ok(Vec::new()) };
        let mut all = check::logs(logs, &first, bounds)?;
        let mut asked = vec![first];
        for (filter, logs) in answers {
            let more = check::logs(logs, &filter, bounds)?;
            // Skips logs that an earlier filter already returned.
            let fresh = |log: &Log| !asked.iter().any(|filter| filter.matches(log.contract, &log.content));
            all.extend(more.into_iter().filter(fresh));
            asked.push(filter);
        }
        all.sort_by_key(|log| log.block_number);
        check::one_hash_per_height(&all)?;
        Ok(all)
    }
}

/// Turns an error into a request for fewer blocks, if fewer blocks may help.
fn too_large(error: NodeError, blocks: u64) -> NodeError {
    match error {
        NodeError::RangeTooLarge { limit, .. } => NodeError::RangeTooLarge { blocks, limit },
        // A proxy sends these when an answer is too long or too slow.
        NodeError::AnswerTooLong { .. }
        | NodeError::AnswerRefused { .. }
        | NodeError::Status { status: 413 | 504 | 524, .. }
            if blocks > 1 =>
        {
            NodeError::RangeTooLarge { blocks, limit: None }
        }
        other => other,
    }
}
