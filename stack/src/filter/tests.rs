use proptest::prelude::*;

use super::*;

fn one(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn subject(frame: &[u8]) -> Subject<'_> {
    Subject { frame, start: 0, network: 14, protocol: 0x0800, kind: 4, hardware: 1, interface: 7, vlan: None }
}

/// What a program keeps of a frame.
fn kept(program: &[Instruction], frame: &[u8]) -> u32 {
    Program::new(program).expect("a good program").run(&subject(frame))
}

fn frame() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
    frame[23] = 17;
    frame[34..38].copy_from_slice(&[0, 53, 0x12, 0x34]);
    frame
}

/// What `tcpdump -ddd udp port 53` has for IPv4.
fn udp_port_53() -> Vec<Instruction> {
    vec![
        one(0x28, 0, 0, 12),
        one(0x15, 0, 8, 0x800),
        one(0x30, 0, 0, 23),
        one(0x15, 0, 6, 17),
        one(0xb1, 0, 0, 14),
        one(0x48, 0, 0, 14),
        one(0x15, 2, 0, 53),
        one(0x48, 0, 0, 16),
        one(0x15, 0, 1, 53),
        one(0x06, 0, 0, 262_144),
        one(0x06, 0, 0, 0),
    ]
}

#[test]
fn a_program_of_tcpdump_tells_packets_apart() {
    assert_eq!(kept(&udp_port_53(), &frame()), 262_144);
    let mut other = frame();
    other[35] = 54;
    assert_eq!(kept(&udp_port_53(), &other), 0);
    // A load behind the end drops, whatever comes later.
    assert_eq!(kept(&udp_port_53(), &frame()[..30]), 0);
}

#[test]
fn arithmetic_is_that_of_32_bits() {
    let result = |a: u32, code: u16, k: u32| {
        kept(&[one(0x00, 0, 0, a), one(0x01, 0, 0, k), one(code | 0x08, 0, 0, 0), one(0x16, 0, 0, 0)], &[])
    };
    for (a, code, k, wanted) in [
        (u32::MAX, 0x04, 2, 1),
        (1, 0x14, 2, u32::MAX),
        (0x8000_0001, 0x24, 2, 2),
        (7, 0x34, 2, 3),
        (7, 0x94, 4, 3),
        (7, 0x34, 0, 0),
        (7, 0x94, 0, 0),
        (6, 0x44, 1, 7),
        (6, 0x54, 3, 2),
        (6, 0xa4, 3, 5),
        (1, 0x64, 33, 2),
        (4, 0x74, 33, 2),
    ] {
        assert_eq!(result(a, code, k), wanted, "{code:#x}");
    }
    assert_eq!(kept(&[one(0, 0, 0, 1), one(0x84, 0, 0, 0), one(0x16, 0, 0, 0)], &[]), u32::MAX);
}

#[test]
fn what_stands_beside_the_packet_is_there() {
    let load = |k: u32| [one(0x20, 0, 0, ANCILLARY + k), one(0x16, 0, 0, 0)];
    for (k, wanted) in [(0, 0x800), (4, 4), (8, 7), (28, 1), (36, 0), (44, 0), (48, 0)] {
        assert_eq!(kept(&load(k), &frame()), wanted, "{k}");
    }
    let tagged = Subject { vlan: Some((0x2005, 0x8100)), ..subject(&[]) };
    for (k, wanted) in [(44, 0x2005), (48, 1), (60, 0x8100)] {
        assert_eq!(Program::new(&load(k)).map(|program| program.run(&tagged)), Ok(wanted));
    }
    let negative = |offset: i32| [one(0x30, 0, 0, offset.cast_unsigned()), one(0x16, 0, 0, 0)];
    assert_eq!((kept(&negative(OF_NETWORK), &frame()), kept(&negative(OF_LINK + 12), &frame())), (0x45, 8));
    assert_eq!(kept(&negative(i32::MIN), &frame()), 0);
}

#[test]
fn what_linux_refuses_is_refused() {
    let keep = one(0x06, 0, 0, 1);
    let refused: &[&[Instruction]] = &[
        &[],
        &[keep; MOST + 1],
        &[one(0x00, 0, 0, 1)],
        &[one(0xffff, 0, 0, 0), keep],
        &[one(0x0e, 0, 0, 0), keep],
        &[one(0x34, 0, 0, 0), keep],
        &[one(0x94, 0, 0, 0), keep],
        &[one(0x64, 0, 0, 32), keep],
        &[one(0x02, 0, 0, 16), keep],
        &[one(0x60, 0, 0, 0), keep],
        &[one(0x05, 0, 0, 1), keep],
        &[one(0x05, 0, 0, u32::MAX), keep],
        &[one(0x15, 1, 0, 0), keep],
        &[one(0x15, 0, 1, 0), keep],
        &[one(0x20, 0, 0, u32::MAX), keep],
        // Written on one of two ways only.
        &[one(0x15, 0, 1, 0), one(0x02, 0, 0, 3), one(0x60, 0, 0, 3), keep],
    ];
    for program in refused {
        assert_eq!(Program::new(program), Err(Error::Invalid), "{:?}", program.first());
    }
    assert!(Program::new(&[keep; MOST]).is_ok());
    assert!(Program::new(&[one(0x02, 0, 0, 3), one(0x15, 0, 0, 0), one(0x60, 0, 0, 3), keep]).is_ok());
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let known = prop::sample::select(vec![
        0x20u16, 0x28, 0x30, 0x40, 0x48, 0x50, 0x80, 0x00, 0x60, 0xb1, 0x81, 0x01, 0x61, 0x02, 0x03, 0x84,
        0x05, 0x06, 0x16, 0x07, 0x87, 0x04, 0x0c, 0x3c, 0x9c, 0x6c, 0x15, 0x1d, 0x25, 0x35, 0x45,
    ]);
    let code = prop_oneof![8 => known, 1 => any::<u16>()];
    let k = prop_oneof![4 => 0u32..20, 1 => any::<u32>(), 1 => (0u32..70).prop_map(|low| ANCILLARY + low)];
    (code, 0u8..6, 0u8..6, k).prop_map(|(code, jt, jf, k)| Instruction { code, jt, jf, k })
}

proptest! {
    /// Whatever is in a program, it is refused or comes to its end, within the bounds of its memory.
    #[test]
    fn hostile_programs_end(
        mut program in prop::collection::vec(instruction(), 0..40),
        frame in prop::collection::vec(any::<u8>(), 0..80),
        start in 0usize..20,
    ) {
        program.push(one(0x16, 0, 0, 0));
        if let Ok(program) = Program::new(&program) {
            let _ = program.run(&Subject { start, ..subject(&frame) });
        }
    }

    /// Jumps anywhere but forward are refused.
    #[test]
    fn jumps_stay_inside(before in 0usize..5, over in any::<u32>(), behind in 1usize..5) {
        let keep = one(0x06, 0, 0, 1);
        let mut program = vec![keep; before];
        program.push(one(0x05, 0, 0, over));
        program.extend(vec![keep; behind]);
        prop_assert_eq!(Program::new(&program).is_ok(), (over as usize) < behind);
    }
}
