//! STAMP: any bytes may come as test packets, sent or reflected.

use crate::input::Input;
use overlay::quality::{Reflected, Reflector, Sender, Settings, Test, stamp};

const INTERVAL_NS: u64 = 50_000_000;
const UNIX_NS: u64 = 1_800_000_000_000_000_000;

/// What is read is written the same; a reflector repeats what it was sent; a sender takes records of milliseconds
/// (1 byte), what to do (1 byte) and a reflected packet (44 bytes), and counts no more answers than it sent packets.
pub fn run(data: &[u8]) {
    if let (Ok(test), Ok(reflected)) = (Test::parse(data), Reflected::parse(data)) {
        assert_eq!(Test::parse(&test.to_bytes()), Ok(test));
        assert_eq!(Reflected::parse(&reflected.to_bytes()), Ok(reflected));
        let answer = Reflector::new(INTERVAL_NS).reflect(0, UNIX_NS, 64, &test).expect("the first");
        assert_eq!((answer.sender_sequence, answer.sender_timestamp), (test.sequence, test.timestamp));
        assert_eq!(answer.session, test.session);
    }
    let mut input = Input(data);
    let mut sender = Sender::new(0, Settings { interval_ns: INTERVAL_NS, multiplier: 3 }, 7);
    let mut reflector = Reflector::new(INTERVAL_NS);
    let (mut now_ns, mut sent, mut last) = (0u64, 0u64, None);
    while !input.is_empty() {
        now_ns += u64::from(input.byte()) * 1_000_000;
        if let Some(test) = sender.poll(now_ns, UNIX_NS + now_ns, now_ns) {
            sent += 1;
            last = reflector.reflect(now_ns, UNIX_NS + now_ns, 64, &test);
        }
        let answer = match input.byte() % 4 {
            0 => last,
            1 => last.map(|answer| Reflected { sequence: u32::from(input.word()), ..answer }),
            _ => Reflected::parse(input.take(stamp::LEN)).ok(),
        };
        if let Some(answer) = answer {
            let _ = sender.handle(now_ns, UNIX_NS + now_ns, &answer);
        }
        let counts = sender.stats().counts;
        assert!(counts.answered <= counts.sent && counts.sent <= sent);
        assert!(counts.returned <= counts.reflected);
        assert!(counts.lost_forward() <= counts.sent);
    }
}
