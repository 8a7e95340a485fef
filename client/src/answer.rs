//! An answer, read as it is used.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use crate::PayError;

/// So much of an answer is in memory before any of it is given. What is not longer is whole, or is asked for again.
const HELD: usize = 256 << 10;

/// An answer's body: its beginning in memory, the rest where it is.
#[derive(Debug)]
pub struct Answer {
    held: Bytes,
    rest: Option<Response>,
}

impl Answer {
    /// Reads the beginning, and all of it where it is short.
    pub(crate) async fn begin(mut response: Response) -> Result<Self, PayError> {
        let mut held = BytesMut::new();
        while held.len() <= HELD {
            match chunk(&mut response).await? {
                Some(bytes) => held.extend_from_slice(&bytes),
                None => return Ok(Self { held: held.freeze(), rest: None }),
            }
        }
        Ok(Self { held: held.freeze(), rest: Some(response) })
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// [`PayError::Http`] where it broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PayError> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        match &mut self.rest {
            Some(rest) => chunk(rest).await,
            None => Ok(None),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// [`PayError::AnswerTooLong`] beyond `most` bytes, [`PayError::Http`] where it broke off.
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
    pub(crate) fn head(&self) -> &[u8] {
        &self.held
    }
}

async fn chunk(response: &mut Response) -> Result<Option<Bytes>, PayError> {
    response.chunk().await.map_err(|error| PayError::Http(error.without_url()))
}
