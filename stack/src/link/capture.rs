//! A link that records its frames in a pcapng file, for Wireshark and tcpdump.
//!
//! Super-frames are recorded whole and unfinished checksums as they are, which is what a capture on a
//! Linux device with offload looks like, too.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

use super::{Capabilities, Frame, Link};

/// Wraps a link and writes what goes in and out of it to a file.
///
/// Blocks are handed to the file before the owner sleeps ([`Link::arm`]), at the latest with the first
/// call after a second, and when the capture is dropped. When the file cannot be written any more (the
/// disk is full), recording stops, [`error`](Self::error) says why, and the link goes on.
pub struct Capture {
    inner: Box<dyn Link>,
    /// `None` once writing has failed.
    writer: Option<PcapNgWriter<BufWriter<File>>>,
    /// When the oldest block that is not in the file yet was made.
    unflushed: Option<Instant>,
    error: Option<io::Error>,
}

impl Capture {
    /// Records the frames of `inner` in `file`, from its current position. The name is what the capture
    /// calls the interface.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(inner: Box<dyn Link>, file: File, name: &str) -> io::Result<Self> {
        let mut writer = PcapNgWriter::new(BufWriter::with_capacity(BUFFER, file)).map_err(io_error)?;
        let options = vec![
            InterfaceDescriptionOption::IfName(Cow::Owned(name.to_owned())),
            InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
        ];
        let block = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: SNAPLEN, options };
        writer.write_pcapng_block(block).map_err(io_error)?;
        writer.get_mut().flush()?;
        Ok(Self { inner, writer: Some(writer), unflushed: None, error: None })
    }

    /// Records the frames of `inner` in a new file; one that exists is overwritten.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn create(inner: Box<dyn Link>, path: &Path, name: &str) -> io::Result<Self> {
        Self::new(inner, File::create(path)?, name)
    }

    /// Why recording has stopped, if it has.
    #[must_use]
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn record(&mut self, frame: &Frame, direction: u32) {
        let Some(writer) = &mut self.writer else { return };
        let bytes = frame.bytes();
        let kept = &bytes[..bytes.len().min(SNAPLEN as usize)];
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            original_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(kept),
            options: vec![EnhancedPacketOption::Flags(direction)],
        };
        match writer.write_pcapng_block(block) {
            Ok(_) => {
                self.unflushed.get_or_insert_with(Instant::now);
                self.flush_old();
            }
            Err(error) => self.stop(io_error(error)),
        }
    }

    /// Hands what has waited for a second to the file.
    fn flush_old(&mut self) {
        if self.unflushed.is_some_and(|since| since.elapsed() >= FLUSH_AFTER) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.unflushed.take().is_none() {
            return;
        }
        if let Some(Err(error)) = self.writer.as_mut().map(|writer| writer.get_mut().flush()) {
            self.stop(error);
        }
    }

    fn stop(&mut self, error: io::Error) {
        self.error = Some(error);
        if let Some(writer) = self.writer.take() {
            // Without the attempt to write that dropping a BufWriter is.
            drop(writer.into_inner().into_parts());
        }
    }
}

impl Link for Capture {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&mut self) -> io::Result<Option<Frame>> {
        let frame = self.inner.receive()?;
        match &frame {
            Some(frame) => self.record(frame, INBOUND),
            None => self.flush_old(),
        }
        Ok(frame)
    }

    fn transmit(&mut self, frame: Frame) -> io::Result<()> {
        self.record(&frame, OUTBOUND);
        self.inner.transmit(frame)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.inner.descriptors()
    }

    fn pending(&self) -> Option<bool> {
        self.inner.pending()
    }

    fn arm(&mut self) -> bool {
        self.flush();
        self.inner.arm()
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("inner", &self.inner)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}

/// Bytes gathered before they are written without being asked for.
const BUFFER: usize = 256 * 1024;
/// Longer than any super-frame.
const SNAPLEN: u32 = 256 * 1024;
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// `if_tsresol` (pcapng, 4.2): a power of ten. The only one the crate writes time stamps in.
const NANOSECONDS: u8 = 9;
/// `epb_flags` (pcapng, 4.3.1), bits 0 and 1.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::link::switch::{Switch, SwitchPort};

    fn recorded(file: &mut File) -> Vec<(Vec<u8>, u32)> {
        file.rewind().expect("seek");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("read");
        let mut reader = PcapNgReader::new(&bytes[..]).expect("a section");
        let mut packets = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.expect("a whole block") {
                assert_eq!(packet.original_len as usize, packet.data.len());
                let Some(EnhancedPacketOption::Flags(flags)) = packet.options.first() else {
                    panic!("no direction");
                };
                packets.push((packet.data.to_vec(), *flags));
            }
        }
        packets
    }

    fn ports() -> (SwitchPort, SwitchPort) {
        let switch = Switch::new("lan");
        (switch.port().expect("a port"), switch.port().expect("a port"))
    }

    /// A file that is gone when it is closed.
    fn scratch() -> File {
        let flags = rustix::fs::MemfdFlags::ALLOW_SEALING | rustix::fs::MemfdFlags::CLOEXEC;
        rustix::fs::memfd_create("capture", flags).expect("memfd").into()
    }

    #[test]
    fn both_directions_are_in_the_file_before_the_owner_sleeps() {
        let (port, mut peer) = ports();
        let mut file = scratch();
        let mut capture =
            Capture::new(Box::new(port), file.try_clone().expect("dup"), "eth0").expect("a capture");
        capture.transmit(Frame::from_slice(&[0xff; 60])).expect("sent");
        peer.transmit(Frame::from_slice(&[0xff; 60_001])).expect("sent");
        assert!(capture.receive().expect("alive").is_some());
        assert_eq!(recorded(&mut file), [], "not written yet");
        file.seek(io::SeekFrom::End(0)).expect("seek");
        assert!(capture.arm());
        assert_eq!(recorded(&mut file), [(vec![0xff; 60], OUTBOUND), (vec![0xff; 60_001], INBOUND)]);
    }

    #[test]
    fn a_full_disk_stops_the_capture_not_the_link() {
        let (port, mut peer) = ports();
        let file = scratch();
        let mut capture =
            Capture::new(Box::new(port), file.try_clone().expect("dup"), "eth0").expect("a capture");
        // Writing fails with EPERM from here on.
        rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::WRITE).expect("a seal");
        for _ in 0..3 {
            capture.transmit(Frame::from_slice(&[0xff; 60])).expect("sent");
            capture.arm();
            assert!(peer.receive().expect("alive").is_some());
        }
        assert_eq!(capture.error().and_then(io::Error::raw_os_error), Some(libc::EPERM));
    }

    #[test]
    fn no_room_at_all_is_an_error_at_once() {
        let (port, _) = ports();
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let error = Capture::new(Box::new(port), full, "eth0").expect_err("no space");
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }
}
