//! Which Kafka error code says what went wrong. Codes are chosen here and nowhere else.

mod cluster;
mod data;
mod ext;
mod group;
mod storage;

use std::fmt::Display;

use tidelog_protocol_ext::{ErrorCode, StrBytes};

/// Longest message of an answer, in characters: it may quote what the client sent.
const MESSAGE_CHARS_MAX: usize = 1000;

/// An error that clients are told.
pub trait Coded {
    fn code(&self) -> ErrorCode;
}

/// A code with the sentence that goes with it in the versions that carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: ErrorCode,
    pub message: StrBytes,
}

impl<E: Coded + Display> From<&E> for Failure {
    fn from(error: &E) -> Self {
        let mut message = error.to_string();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
            message.truncate(end);
        }
        Self {
            code: error.code(),
            message: StrBytes::from_string(message),
        }
    }
}

/// The number of what went wrong, or 0.
pub fn code_of(failure: Option<&Failure>) -> i16 {
    failure
        .map_or(ErrorCode::None, |failure| failure.code)
        .code()
}
