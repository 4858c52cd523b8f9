//! How the messages of streams are packed: prost's encoding, in buffers of the size of etcd's messages. tonic's own
//! codec sets aside 8 KiB for each, and cuts every key and value out of a buffer that can still change.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{self, BufferSettings, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// The bytes of a buffer at first, and from how many on a stream of requests is sent piece by piece.
const BUFFERS: (usize, usize) = (256, 32 << 10);

/// The codec of the generated clients.
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Unpacker<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Unpacker(PhantomData)
    }
}

/// Unpacks messages whose keys and values are slices of what came.
pub(crate) struct Unpacker<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for Unpacker<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        let unpacked = U::decode(message).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some(unpacked))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFERS.0, BUFFERS.1)
}
