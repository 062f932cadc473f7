//! What a link without offload makes of a frame: super-frames are cut, checksums completed.

use ioth_stack::link::{Checksum, Frame, SegmentKind};

use super::frames::{FIN, PSH};
use crate::feed::checksum::{fold, sum};

const ETHERNET: usize = 14;

/// The frames that go over a wire in place of `frame`.
pub(super) fn pieces(frame: &Frame) -> Vec<Frame> {
    let Some(segmentation) = frame.segmentation else {
        let mut copy = Frame::from_slice(frame.bytes());
        if let Checksum::Partial { start, offset } = frame.checksum {
            complete(copy.bytes_mut(), usize::from(start), usize::from(offset));
        }
        return vec![copy];
    };
    let Checksum::Partial { start, offset } = frame.checksum else {
        panic!("a super-frame with a full checksum")
    };
    let (start, offset) = (usize::from(start), usize::from(offset));
    let (headers, payload) = frame.bytes().split_at(usize::from(segmentation.header_len));
    let size = usize::from(segmentation.size);
    let count = payload.chunks(size).count();
    payload
        .chunks(size)
        .enumerate()
        .map(|(at, chunk)| {
            let mut bytes = [headers, chunk].concat();
            if segmentation.kind == SegmentKind::Udp {
                let len = (bytes.len() - start) as u16;
                bytes[start + 4..start + 6].copy_from_slice(&len.to_be_bytes());
            } else {
                let seq = u32::from_be_bytes(headers[start + 4..start + 8].try_into().unwrap());
                let seq = seq.wrapping_add((at * size) as u32);
                bytes[start + 4..start + 8].copy_from_slice(&seq.to_be_bytes());
                if at + 1 < count {
                    bytes[start + 13] &= !(FIN | PSH);
                }
            }
            let old = (frame.len() - start) as u16;
            let new = (bytes.len() - start) as u16;
            adjust_length(&mut bytes, start);
            // The partial sum counts the length.
            let partial = u16::from_be_bytes([bytes[start + offset], bytes[start + offset + 1]]);
            let partial = fold(u32::from(partial) + u32::from(!old) + u32::from(new));
            bytes[start + offset..start + offset + 2].copy_from_slice(&partial.to_be_bytes());
            complete(&mut bytes, start, offset);
            Frame::from_slice(&bytes)
        })
        .collect()
}

fn adjust_length(bytes: &mut [u8], transport: usize) {
    let packet = bytes.len() - ETHERNET;
    if bytes[ETHERNET] >> 4 == 4 {
        bytes[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&(packet as u16).to_be_bytes());
        bytes[ETHERNET + 10..ETHERNET + 12].fill(0);
        let sum = !sum(&bytes[ETHERNET..transport]);
        bytes[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&((packet - 40) as u16).to_be_bytes());
    }
}

/// Makes a full checksum of a partial one.
fn complete(bytes: &mut [u8], start: usize, offset: usize) {
    let sum = !sum(&bytes[start..]);
    bytes[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
}
