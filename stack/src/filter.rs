//! Classic BPF: the programs of `SO_ATTACH_FILTER`, socket(7). A program is read once, and refused unless it ends for sure:
//! jumps go forward only, the last instruction returns, no word of its memory is read before it was written. Then it
//! says of each packet how many bytes of it are kept.
//!
//! What is refused is what Linux refuses (`bpf_check_classic`) (and three ancillary loads more: see `Ancillary::read`).

use crate::error::Error;

/// An instruction as a program has it: `struct sock_filter` of `linux/filter.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions a condition that holds jumps over.
    pub jt: u8,
    /// The same for one that does not.
    pub jf: u8,
    /// Its number.
    pub k: u32,
}

/// A program that was found to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    operations: Box<[Op]>,
    instructions: Box<[Instruction]>,
}

/// What a program looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The frame from its Ethernet header.
    pub(crate) frame: &'a [u8],
    /// Where the program's own offsets begin.
    pub(crate) start: usize,
    /// Where the network header is.
    pub(crate) network: usize,
    /// `sll_protocol`.
    pub(crate) protocol: u16,
    /// `sll_pkttype`.
    pub(crate) kind: u8,
    /// `sll_hatype`.
    pub(crate) hardware: u16,
    /// Index of the interface.
    pub(crate) interface: u32,
    /// The tag that was in the frame, and its Ethernet type.
    pub(crate) vlan: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Load(usize, u32),
    LoadBehindX(usize, u32),
    LoadAncillary(Ancillary),
    LoadLen,
    LoadNumber(u32),
    LoadWord(usize),
    XHeaderLen(u32),
    XLen,
    XNumber(u32),
    XWord(usize),
    Store(usize),
    StoreX(usize),
    Alu(Alu, Operand),
    Negate,
    Jump(usize),
    Branch(Test, Operand, usize, usize),
    Keep(u32),
    KeepA,
    ToX,
    FromX,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    K(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Mod,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    Greater,
    NotLess,
    AnyBit,
}

/// What Linux knows of a packet besides its bytes: `SKF_AD_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ancillary {
    Protocol,
    PacketType,
    Interface,
    Hardware,
    /// Mark, queue, hash and processor, which a stack does not have.
    Nothing,
    XorX,
    VlanTag,
    VlanPresent,
    VlanType,
}

/// `BPF_MAXINSNS`.
const MOST: usize = 4096;
/// Words of memory: `BPF_MEMWORDS`.
const WORDS: usize = 16;
/// Offsets from here on are no offsets: `SKF_AD_OFF`, `SKF_NET_OFF`, `SKF_LL_OFF`.
const ANCILLARY: u32 = 0xffff_f000;
const OF_NETWORK: i32 = -0x10_0000;
const OF_LINK: i32 = -0x20_0000;

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn new(instructions: &[Instruction]) -> Result<Self, Error> {
        if instructions.is_empty() || instructions.len() > MOST {
            return Err(Error::Invalid);
        }
        let len = instructions.len();
        let ops: Option<Box<[Op]>> =
            instructions.iter().enumerate().map(|(at, one)| Op::read(*one, len - at - 1)).collect();
        let ops = ops.ok_or(Error::Invalid)?;
        let ends = matches!(ops.last(), Some(Op::Keep(_) | Op::KeepA));
        if !ends || !remembers_what_it_reads(&ops) {
            return Err(Error::Invalid);
        }
        Ok(Self { operations: ops, instructions: instructions.into() })
    }

    /// As it was read.
    #[must_use]
    pub const fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// How many bytes of a packet are kept, counted from where the program's offsets begin; 0 for none: it is dropped.
    pub(crate) fn run(&self, subject: &Subject<'_>) -> u32 {
        let (mut a, mut x) = (0u32, 0u32);
        let mut memory = [0u32; WORDS];
        let mut at = 0;
        while let Some(op) = self.operations.get(at) {
            at += 1;
            match *op {
                Op::Load(size, offset) => match subject.load(size, offset) {
                    Some(value) => a = value,
                    None => return 0,
                },
                Op::LoadBehindX(size, offset) => match subject.load(size, x.wrapping_add(offset)) {
                    Some(value) => a = value,
                    None => return 0,
                },
                Op::XHeaderLen(offset) => match subject.load(1, offset) {
                    Some(value) => x = (value & 0xf) * 4,
                    None => return 0,
                },
                Op::LoadAncillary(Ancillary::XorX) => a ^= x,
                Op::LoadAncillary(what) => a = subject.ancillary(what),
                Op::LoadLen => a = subject.len(),
                Op::LoadNumber(k) => a = k,
                Op::LoadWord(word) => a = memory[word],
                Op::XLen => x = subject.len(),
                Op::XNumber(k) => x = k,
                Op::XWord(word) => x = memory[word],
                Op::Store(word) => memory[word] = a,
                Op::StoreX(word) => memory[word] = x,
                Op::Alu(alu, operand) => match alu.apply(a, operand.value(x)) {
                    Some(value) => a = value,
                    None => return 0,
                },
                Op::Negate => a = a.wrapping_neg(),
                Op::Jump(over) => at += over,
                Op::Branch(test, operand, holds, fails) => {
                    at += if test.holds(a, operand.value(x)) { holds } else { fails };
                }
                Op::Keep(k) => return k,
                Op::KeepA => return a,
                Op::ToX => x = a,
                Op::FromX => a = x,
            }
        }
        0
    }
}

impl Op {
    /// Reads an instruction that has so many behind it. `None` if it is none, or jumps beyond the end.
    fn read(one: Instruction, behind: usize) -> Option<Self> {
        let Instruction { code, jt, jf, k } = one;
        let word = || usize::try_from(k).ok().filter(|word| *word < WORDS);
        let jump = |over: usize| (over < behind).then_some(over);
        let operand = if code & 0x08 == 0 { Operand::K(k) } else { Operand::X };
        // The codes are those of chk_code_allowed, in linux/bpf_common.h.
        Some(match code {
            0x20 | 0x28 | 0x30 if k >= ANCILLARY => Self::LoadAncillary(Ancillary::read(k - ANCILLARY)?),
            0x20 => Self::Load(4, k),
            0x28 => Self::Load(2, k),
            0x30 => Self::Load(1, k),
            0x40 => Self::LoadBehindX(4, k),
            0x48 => Self::LoadBehindX(2, k),
            0x50 => Self::LoadBehindX(1, k),
            0x80 => Self::LoadLen,
            0x00 => Self::LoadNumber(k),
            0x60 => Self::LoadWord(word()?),
            0xb1 => Self::XHeaderLen(k),
            0x81 => Self::XLen,
            0x01 => Self::XNumber(k),
            0x61 => Self::XWord(word()?),
            0x02 => Self::Store(word()?),
            0x03 => Self::StoreX(word()?),
            0x84 => Self::Negate,
            0x05 => Self::Jump(usize::try_from(k).ok().and_then(jump)?),
            0x06 => Self::Keep(k),
            0x16 => Self::KeepA,
            0x07 => Self::ToX,
            0x87 => Self::FromX,
            _ if code & !0xf8 == 0x04 => Self::Alu(Alu::read(code & 0xf0, operand)?, operand),
            _ if code & !0xf8 == 0x05 => {
                Self::Branch(Test::read(code & 0xf0)?, operand, jump(jt.into())?, jump(jf.into())?)
            }
            _ => return None,
        })
    }
}

impl Operand {
    const fn value(self, x: u32) -> u32 {
        match self {
            Self::K(k) => k,
            Self::X => x,
        }
    }
}

impl Alu {
    fn read(code: u16, operand: Operand) -> Option<Self> {
        let known = match code {
            0x00 => Self::Add,
            0x10 => Self::Sub,
            0x20 => Self::Mul,
            0x30 => Self::Div,
            0x40 => Self::Or,
            0x50 => Self::And,
            0x60 => Self::ShiftLeft,
            0x70 => Self::ShiftRight,
            0x90 => Self::Mod,
            0xa0 => Self::Xor,
            _ => return None,
        };
        let possible = match (known, operand) {
            (Self::Div | Self::Mod, Operand::K(k)) => k != 0,
            (Self::ShiftLeft | Self::ShiftRight, Operand::K(k)) => k < 32,
            _ => true,
        };
        possible.then_some(known)
    }

    /// `None` for a division by 0, which drops the packet.
    const fn apply(self, a: u32, by: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(by),
            Self::Sub => a.wrapping_sub(by),
            Self::Mul => a.wrapping_mul(by),
            Self::Div => return a.checked_div(by),
            Self::Mod => return a.checked_rem(by),
            Self::Or => a | by,
            Self::And => a & by,
            Self::Xor => a ^ by,
            // As Linux, which looks at five bits.
            Self::ShiftLeft => a.wrapping_shl(by),
            Self::ShiftRight => a.wrapping_shr(by),
        })
    }
}

impl Test {
    const fn read(code: u16) -> Option<Self> {
        Some(match code {
            0x10 => Self::Equal,
            0x20 => Self::Greater,
            0x30 => Self::NotLess,
            0x40 => Self::AnyBit,
            _ => return None,
        })
    }

    const fn holds(self, a: u32, with: u32) -> bool {
        match self {
            Self::Equal => a == with,
            Self::Greater => a > with,
            Self::NotLess => a >= with,
            Self::AnyBit => a & with != 0,
        }
    }
}

impl Ancillary {
    /// The payload's offset, random numbers and attributes of netlink are not there.
    const fn read(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Protocol,
            4 => Self::PacketType,
            8 => Self::Interface,
            20 | 24 | 32 | 36 => Self::Nothing,
            28 => Self::Hardware,
            40 => Self::XorX,
            44 => Self::VlanTag,
            48 => Self::VlanPresent,
            60 => Self::VlanType,
            _ => return None,
        })
    }
}

impl Subject<'_> {
    fn len(&self) -> u32 {
        u32::try_from(self.frame.len() - self.start.min(self.frame.len())).unwrap_or(u32::MAX)
    }

    /// Some bytes as a number, if they are there.
    fn load(&self, size: usize, offset: u32) -> Option<u32> {
        let signed = offset.cast_signed();
        let (from, offset) = match signed {
            0.. => (self.start, signed),
            OF_NETWORK.. => (self.network, signed - OF_NETWORK),
            OF_LINK.. => (0, signed - OF_LINK),
            _ => return None,
        };
        let from = from + usize::try_from(offset).ok()?;
        let bytes = self.frame.get(from..from + size)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn ancillary(&self, what: Ancillary) -> u32 {
        let (tag, kind) = self.vlan.unwrap_or_default();
        match what {
            Ancillary::Protocol => self.protocol.into(),
            Ancillary::PacketType => self.kind.into(),
            Ancillary::Interface => self.interface,
            Ancillary::Hardware => self.hardware.into(),
            Ancillary::Nothing | Ancillary::XorX => 0,
            Ancillary::VlanTag => tag.into(),
            Ancillary::VlanPresent => self.vlan.is_some().into(),
            Ancillary::VlanType => kind.into(),
        }
    }
}

/// Whether every word of memory that is read was written on every way there.
fn remembers_what_it_reads(ops: &[Op]) -> bool {
    let mut known = vec![u16::MAX; ops.len() + 1];
    let mut written = 0u16;
    for (at, op) in ops.iter().enumerate() {
        written &= known[at];
        match *op {
            Op::Store(word) | Op::StoreX(word) => written |= 1 << word,
            Op::LoadWord(word) | Op::XWord(word) if written & (1 << word) == 0 => return false,
            Op::Jump(over) => {
                known[at + 1 + over] &= written;
                written = u16::MAX;
            }
            Op::Branch(_, _, holds, fails) => {
                known[at + 1 + holds] &= written;
                known[at + 1 + fails] &= written;
                written = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests;
