//! Logs by `eth_getLogs`, each answer together with the header that tells which blocks it is of.

use alloy_primitives::B256;
use serde_json::json;

use crate::error::NodeError;
use crate::node::block::{Header, Log};
use crate::node::query::{At, LogFilter, LogQuery};
use crate::profile::Profile;
use crate::rpc::answers::{Answer, Answers};
use crate::rpc::check::Bounds;
use crate::rpc::http::Http;
use crate::rpc::questions::Question;
use crate::rpc::{check, questions, wire};

/// Questions for logs that go into one request: what they cost is spent at once.
const TOGETHER: usize = 16;

/// Reads headers and logs of one node.
pub(crate) struct LogReader<'a> {
    pub(crate) http: &'a Http,
    pub(crate) profile: &'a Profile,
}

impl LogReader<'_> {
    /// A block's header; `None` where the node does not have the block.
    pub(crate) async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let header: Option<wire::Header> = self.http.ask(&questions::header(at)).await?;
        header.map(|header| check::header(&header, at)).transpose()
    }

    /// The logs of one block, as far as the node tells them.
    pub(crate) async fn of_block(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        if self.profile.logs_by_hash {
            self.by_hash(query, hash).await
        } else {
            self.by_height(query, hash).await
        }
    }

    async fn by_hash(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let ask = |filter: &LogFilter| questions::logs_of(filter, json!({ "blockHash": hash }));
        // Nodes answer with no logs for a block that they do not have. The header, from the same node, tells.
        let answer =
            self.ask_filters(At::Hash(hash), query, ask).await.map_err(|error| too_large(error, 1))?;
        let block = Bounds::Block(answer.header);
        answer.checked(block)
    }

    /// The logs of one block from a node that knows blocks only by their height.
    async fn by_height(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let header = self.header(At::Hash(hash)).await?.ok_or(NodeError::Behind)?;
        // A replica that has no such block yet answers with no logs. The header at the height, from the same one, tells.
        let at = At::Number(header.number);
        let ask = |filter: &LogFilter| questions::logs(filter, header.number, header.number);
        let answer = self.ask_filters(at, query, ask).await.map_err(|error| too_large(error, 1))?;
        if answer.header.hash != hash {
            return Err(NodeError::Moved);
        }
        // Once more after the logs, and not in one batch with them: that the height still belongs to this block is what
        // makes an empty answer true.
        let now = self.header(at).await?.ok_or(NodeError::Behind)?;
        if now.hash != hash {
            return Err(NodeError::Moved);
        }
        answer.checked(Bounds::Block(header))
    }

    /// The logs of blocks between two heights, both included.
    pub(crate) async fn of_range(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
        if from > to {
            return Ok(Vec::new());
        }
        let (blocks, limit) = ((to - from).saturating_add(1), self.profile.logs_range);
        if blocks > limit {
            return Err(NodeError::RangeTooLarge { blocks, limit: Some(limit) });
        }
        // Nodes answer for the blocks that they have. The header of the last one, from the same node, tells whether
        // these are all.
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

    /// Asks for logs by as many filters as the node takes contracts in, together with a header in each request: what is said
    /// of one request is of one node.
    async fn ask_filters(
        &self,
        at: At,
        query: &LogQuery,
        ask: impl Fn(&LogFilter) -> Question,
    ) -> Result<HeaderWithLogs, NodeError> {
        loop {
            let most = self.http.addresses.most();
            match self.ask_parts(at, query.parts(most), &ask).await {
                // Fewer are named next: that was learned from it.
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
            let together = self.http.batches.most().saturating_sub(1).min(TOGETHER).clamp(1, rest.len());
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
            // Nothing was asked for.
            None => {
                let header = self.header(at).await?.ok_or(NodeError::Behind)?;
                Ok(HeaderWithLogs { header, answers })
            }
        }
    }

    /// The answers to the questions for a header and for logs.
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

/// A header and the logs that came with it, each answer with its question.
struct HeaderWithLogs {
    header: Header,
    answers: Vec<(LogFilter, Vec<wire::Log>)>,
}

impl HeaderWithLogs {
    /// The logs, in the order of the chain and each once, if all of them fit their questions.
    fn checked(self, bounds: Bounds) -> Result<Vec<Log>, NodeError> {
        let mut answers = self.answers.into_iter();
        let Some((first, logs)) = answers.next() else { return Ok(Vec::new()) };
        let mut all = check::logs(logs, &first, bounds)?;
        let mut asked = vec![first];
        for (filter, logs) in answers {
            let more = check::logs(logs, &filter, bounds)?;
            // What another question has brought already is there.
            let fresh = |log: &Log| !asked.iter().any(|filter| filter.matches(log.contract, &log.content));
            all.extend(more.into_iter().filter(fresh));
            asked.push(filter);
        }
        all.sort_by_key(|log| log.block_number);
        check::one_hash_per_height(&all)?;
        Ok(all)
    }
}

/// Both a node that refuses so many blocks and an answer that grew too long ask for the same: fewer blocks.
fn too_large(error: NodeError, blocks: u64) -> NodeError {
    match error {
        NodeError::RangeTooLarge { limit, .. } => NodeError::RangeTooLarge { blocks, limit },
        // A proxy gives up on an answer that is too long or takes too long by these.
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
