//! What becomes of a message that a server sends: prost decodes it, or it stays as it came until it is read.
//!
//! In: the bytes of a message. Out: what was made of it, or the [`Cause`] for which it is refused. What stays as it came
//! was found to be what prost would decode, so that reading it later cannot fail. Runs on the runtime.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;

use std::marker::PhantomData;

use bytes::Bytes;

use super::cause::Cause;
use super::namespace::{Leave, Namespace};
use super::pb::{Response, ResponseHeader};
use super::wire::{self, Fields, Survey, Value, survey};

/// Smaller messages take what they take.
const LOOKED_AT: usize = 64 << 10;

/// A message may take so many times its size in memory. The smallest event that etcd sends takes twenty times its own.
const GROWTH: usize = 32;

/// The number of the header in each message that is received as it came.
const HEADER: u32 = 1;

/// What a message becomes where it arrives.
pub(crate) trait Receive: Sized {
    /// The message that it is.
    type Message: Response;

    /// Makes it of the bytes of a message, if that takes no more memory than one that etcd sends.
    fn receive(message: Bytes) -> Result<Self, Cause>;

    /// Who responded, and what the store was like; zeros where the server does not say.
    fn head(&self) -> ResponseHeader;
}

impl<M: Response> Receive for M {
    type Message = M;

    fn receive(message: Bytes) -> Result<M, Cause> {
        if message.len() > LOOKED_AT {
            check_growth(&message, survey(&message, M::DESCRIPTOR))?;
        }
        try_decode(message)
    }

    fn head(&self) -> ResponseHeader {
        self.header().copied().unwrap_or_default()
    }
}

/// A message as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received<M> {
    bytes: Bytes,
    message: PhantomData<fn() -> M>,
}

impl<M: Response> Received<M> {
    /// Its bytes: what `wire` finds in them is what prost would decode.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What prost makes of it.
    pub fn decode(&self) -> M {
        wire::decode(self.bytes.clone())
    }
}

impl<M: Response> Receive for Received<M> {
    type Message = M;

    fn receive(message: Bytes) -> Result<Self, Cause> {
        Ok(Self {
            bytes: plain::<M>(message)?,
            message: PhantomData,
        })
    }

    fn head(&self) -> ResponseHeader {
        let is_header = |field: (u32, Value<'_>)| match field {
            (HEADER, Value::Bytes(header)) => Some(wire::decode(header)),
            _ => None,
        };
        Fields::new(&self.bytes).find_map(is_header).unwrap_or_default()
    }
}

impl<M: Response> From<M> for Received<M> {
    fn from(message: M) -> Self {
        Self {
            bytes: message.encode_to_vec().into(),
            message: PhantomData,
        }
    }
}

impl<M: Response + Leave> Leave for Received<M> {
    fn leave(&mut self, namespace: &Namespace) {
        let mut message = self.decode();
        message.leave(namespace);
        *self = message.into();
    }
}

/// The message `M` in these bytes, such that `wire` finds in it what prost would decode. Few need to be written anew for
/// that: none that etcd sends.
pub(crate) fn plain<M: Response>(message: Bytes) -> Result<Bytes, Cause> {
    let survey = survey(&message, M::DESCRIPTOR);
    check_growth(&message, survey)?;
    match survey.is_plain {
        true => Ok(message),
        // prost says what is wrong with it, or what it means.
        false => try_decode::<M>(message).map(|message| message.encode_to_vec().into()),
    }
}

fn try_decode<M: Response>(message: Bytes) -> Result<M, Cause> {
    M::decode(message).map_err(|error| Cause::Malformed(error.to_string()))
}

/// Would a message take far more memory than any that etcd sends? An empty entry is two bytes in a message and a hundred
/// in memory.
fn check_growth(message: &[u8], survey: Survey) -> Result<(), Cause> {
    match message.len() > LOOKED_AT && survey.memory > message.len().saturating_mul(GROWTH) {
        true => Err(Cause::TooLarge(message.len() as u64)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
