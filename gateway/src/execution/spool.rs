//! The bytes of a stream from its start: the newest in memory, all others in a file without a name.
//!
//! The file is written in blocks and read at any place. It ends with the process, however that ends. It is a ring: while
//! the stream is no longer than what is kept, nothing is overwritten; after that the oldest block is, and whoever is
//! still there cannot go on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// How many bytes are in memory before they are written to the file, and the most that are read from it at once.
pub(super) const BLOCK: usize = 8 * 1024;

/// The bytes of one stream.
#[derive(Debug)]
pub(super) struct Spool {
    /// Where the file is made.
    folder: Arc<PathBuf>,
    file: Option<Arc<File>>,
    /// How many blocks the file has at most.
    blocks: u64,
    /// The place of the oldest byte that can be read.
    oldest: u64,
    /// How many bytes the file has got. A multiple of [`BLOCK`].
    filed: u64,
    /// A whole block that is being written to the file.
    full: Bytes,
    /// What comes after it: less than a block.
    tail: BytesMut,
}

/// Where bytes are.
pub(super) enum Place {
    /// Here they are.
    Memory(Bytes),
    /// In the file.
    File(Piece),
    /// They are overwritten.
    Gone,
}

/// A part of a block in a file.
pub(super) struct Piece {
    file: Arc<File>,
    at: u64,
    length: usize,
}

/// A block that has to be written to the file before more is added.
pub(super) struct Flush {
    folder: Arc<PathBuf>,
    file: Option<Arc<File>>,
    at: u64,
    block: Bytes,
}

impl Spool {
    /// An empty one, whose file can hold at least `bytes`.
    pub(super) fn new(folder: Arc<PathBuf>, bytes: u64) -> Self {
        let blocks = bytes.div_ceil(BLOCK as u64).saturating_add(1);
        Self { folder, file: None, blocks, oldest: 0, filed: 0, full: Bytes::new(), tail: BytesMut::new() }
    }

    /// How many bytes were added in all.
    pub(super) fn written(&self) -> u64 {
        self.filed + (self.full.len() + self.tail.len()) as u64
    }

    /// Adds bytes from the front of `bytes` as far as there is room in memory. If a block is full then, it must be
    /// written, and [`Spool::flushed`] be told, before more is added.
    pub(super) fn add(&mut self, bytes: &mut Bytes) -> Option<Flush> {
        let room = BLOCK - self.tail.len();
        self.tail.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
        if self.tail.len() < BLOCK {
            return None;
        }
        self.full = std::mem::take(&mut self.tail).freeze();
        let number = self.filed / BLOCK as u64;
        // What is about to be overwritten is not read any more.
        self.oldest = self.oldest.max((number + 1).saturating_sub(self.blocks) * BLOCK as u64);
        let at = number % self.blocks * BLOCK as u64;
        Some(Flush {
            folder: Arc::clone(&self.folder),
            file: self.file.clone(),
            at,
            block: self.full.clone(),
        })
    }

    /// The block is in this file.
    pub(super) fn flushed(&mut self, file: Arc<File>) {
        self.file = Some(file);
        self.filed += self.full.len() as u64;
        self.full = Bytes::new();
    }

    /// The bytes from a place on: at least one and at most a block. `None` if there are none yet.
    pub(super) fn at(&self, offset: u64) -> Option<Place> {
        if offset >= self.written() {
            return None;
        }
        if !self.has(offset) {
            return Some(Place::Gone);
        }
        let block = BLOCK as u64;
        Some(match (offset.checked_sub(self.filed), &self.file) {
            (None, Some(file)) => Place::File(Piece {
                file: Arc::clone(file),
                at: offset / block % self.blocks * block + offset % block,
                length: BLOCK - (offset % block) as usize,
            }),
            (None, None) => Place::Gone,
            (Some(at), _) => {
                let at = at as usize;
                Place::Memory(match at.checked_sub(self.full.len()) {
                    None => self.full.slice(at..),
                    Some(at) => Bytes::copy_from_slice(&self.tail[at..]),
                })
            }
        })
    }

    /// Whether what was read from a place on is what was written there.
    pub(super) fn has(&self, offset: u64) -> bool {
        offset >= self.oldest
    }
}

impl Piece {
    /// Reads it. Blocks.
    pub(super) fn read(self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.length];
        self.file.read_exact_at(&mut bytes, self.at)?;
        Ok(bytes.into())
    }
}

impl Flush {
    /// Writes the block, and makes the file if there is none yet. Blocks.
    pub(super) fn write(self) -> io::Result<Arc<File>> {
        let file = match self.file {
            Some(file) => file,
            None => Arc::new(tempfile::tempfile_in(&*self.folder)?),
        };
        file.write_all_at(&self.block, self.at)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(bytes: u64) -> (Spool, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Spool::new(Arc::new(folder.path().to_owned()), bytes), folder)
    }

    fn add(spool: &mut Spool, bytes: &[u8]) {
        let mut bytes = Bytes::copy_from_slice(bytes);
        while !bytes.is_empty() {
            if let Some(flush) = spool.add(&mut bytes) {
                let file = flush.write().unwrap();
                spool.flushed(file);
            }
        }
    }

    fn read(spool: &Spool, mut offset: u64) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(place) = spool.at(offset) {
            let bytes = match place {
                Place::Memory(bytes) => bytes,
                Place::File(piece) => piece.read().unwrap(),
                Place::Gone => return None,
            };
            assert!((1..=BLOCK).contains(&bytes.len()));
            offset += bytes.len() as u64;
            all.extend_from_slice(&bytes);
        }
        Some(all)
    }

    /// Bytes of which no two blocks are the same.
    fn numbered(count: usize) -> Vec<u8> {
        (0..count).map(|index| (index / BLOCK * 31 + index) as u8).collect()
    }

    #[test]
    fn what_was_written_is_read_from_any_place_and_a_block_at_most_is_in_memory() {
        for pieces in [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let all = numbered(5 * BLOCK + 13);
            let (mut spool, folder) = spool(all.len() as u64);
            for piece in all.chunks(pieces) {
                add(&mut spool, piece);
                assert!(spool.full.is_empty() && spool.tail.len() < BLOCK);
            }
            assert_eq!(spool.written(), all.len() as u64);
            for offset in [0, 1, BLOCK - 1, BLOCK, 4 * BLOCK + 5, 5 * BLOCK, all.len() - 1, all.len()] {
                assert_eq!(read(&spool, offset as u64).as_deref(), Some(&all[offset..]), "{pieces} {offset}");
            }
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        }
    }

    #[test]
    fn while_a_block_is_written_its_bytes_are_read_from_memory() {
        let all = numbered(BLOCK);
        let (mut spool, _folder) = spool(2 * BLOCK as u64);
        let flush = spool.add(&mut Bytes::copy_from_slice(&all)).unwrap();
        assert_eq!(read(&spool, 3).as_deref(), Some(&all[3..]));
        let file = flush.write().unwrap();
        spool.flushed(file);
        assert_eq!(read(&spool, 3).as_deref(), Some(&all[3..]));
    }

    #[test]
    fn a_ring_takes_no_more_room_and_says_what_is_gone() {
        let all = numbered(40 * BLOCK + 1);
        let (mut spool, _folder) = spool(2 * BLOCK as u64);
        add(&mut spool, &all);
        assert_eq!(spool.file.as_ref().unwrap().metadata().unwrap().len(), 3 * BLOCK as u64);
        assert_eq!(read(&spool, 0), None);
        assert_eq!(read(&spool, 37 * BLOCK as u64 - 1), None);
        assert_eq!(read(&spool, 37 * BLOCK as u64).as_deref(), Some(&all[37 * BLOCK..]));
    }
}
