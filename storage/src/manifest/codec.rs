//! CBOR of types that this room does not own.

/// A partition as `[topic id bytes, index]`.
pub(crate) mod partition {
    use minicbor::decode::Error;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    use crate::ids::{PartitionId, TopicId};

    pub(crate) fn encode<C, W: Write>(
        partition: &PartitionId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?
            .bytes(&partition.topic.0)?
            .i32(partition.index)?
            .ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<PartitionId, Error> {
        if d.array()? != Some(2) {
            return Err(Error::message("a partition is an array of two"));
        }
        let topic = d
            .bytes()?
            .try_into()
            .map_err(|_| Error::message("a topic id has 16 bytes"))?;
        Ok(PartitionId {
            topic: TopicId(topic),
            index: d.i32()?,
        })
    }
}

/// An incarnation as its 16 bytes.
pub(super) mod incarnation {
    use minicbor::decode::Error;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    use crate::ids::Incarnation;

    pub(in crate::manifest) fn encode<C, W: Write>(
        incarnation: &Incarnation,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&incarnation.0)?.ok()
    }

    pub(in crate::manifest) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Incarnation, Error> {
        let id = d.bytes()?.try_into();
        id.map(Incarnation)
            .map_err(|_| Error::message("an incarnation has 16 bytes"))
    }
}

/// Shared elements (segments, rows files) as a plain array.
pub(super) mod shared {
    use std::sync::Arc;

    use minicbor::decode::Error;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub(in crate::manifest) fn encode<T: Encode<C>, C, W: Write>(
        elements: &[Arc<T>],
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(elements.len() as u64)?;
        elements
            .iter()
            .try_for_each(|element| element.as_ref().encode(e, ctx))
    }

    pub(in crate::manifest) fn decode<'b, T: Decode<'b, C>, C>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<Vec<Arc<T>>, Error> {
        d.array_iter_with::<C, T>(ctx)?
            .map(|element| element.map(Arc::new))
            .collect()
    }
}
