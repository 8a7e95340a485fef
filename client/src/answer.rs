//! The body of an answer, as a stream.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use crate::PayError;

/// The part of an answer that is read before any of it is returned, in bytes. A short answer is then complete, or is
/// requested again.
const BUFFERED_BYTES: usize = 256 << 10;

/// An answer's body: the beginning in memory, the rest from the connection.
#[derive(Debug)]
pub struct Answer {
    held: Bytes,
    rest: Option<Response>,
}

impl Answer {
    /// Reads the beginning, or all of a short answer.
    pub(crate) async fn begin(mut response: Response) -> Result<Self, PayError> {
        let mut held = BytesMut::new();
        while held.len() <= BUFFERED_BYTES {
            match chunk(&mut response).await? {
                Some(bytes) => held.extend_from_slice(&bytes),
                None => return Ok(Self { held: held.freeze(), rest: None }),
            }
        }
        Ok(Self { held: held.freeze(), rest: Some(response) })
    }

    /// The next part. `None` at the end.
    ///
    /// # Errors [`PayError::Http`] if the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PayError> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        match &mut self.rest {
            Some(rest) => chunk(rest).await,
            None => Ok(None),
        }
    }

    /// The whole body.
    ///
    /// # Errors [`PayError::AnswerTooLong`] beyond `most` bytes; [`PayError::Http`] if the connection broke.
    pub async fn bytes(mut self, most: usize) -> Result<Bytes, PayError> {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if bytes.len() > most - all.len() {
                return Err(PayError::AnswerTooLong { most: most as u64 });
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// Its beginning.
    pub fn head(&self) -> &[u8] {
        &self.held
    }
}

async fn chunk(response: &mut Response) -> Result<Option<Bytes>, PayError> {
    response.chunk().await.map_err(|error| PayError::Http(error.without_url()))
}
