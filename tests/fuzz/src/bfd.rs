//! BFD: any bytes may come as UDP payload of a control packet, in any order and at any time.

use crate::input::Input;
use overlay::bfd::{Packet, Session, Settings, State, packet};

const MS: u64 = 1_000_000;

/// The whole input as one packet, then as records of milliseconds (1 byte) and packet (24 bytes) to one session: what
/// is accepted is written as it was read; nothing brings a session up but a packet that names its discriminator; and it
/// is never up longer than the detection time after the last packet.
pub fn run(data: &[u8]) {
    if let Ok(packet) = Packet::parse(data) {
        assert_eq!(packet.to_bytes(), data[..packet::LEN]);
    }
    let mut input = Input(data);
    let mut session = Session::new(0, Settings { interval_us: 50_000, multiplier: 3 }, 0x0102_0304);
    let mut now_ns = 0;
    while !input.is_empty() {
        now_ns += u64::from(input.byte()) * MS;
        let was = session.state();
        let mut sent = 0;
        while session.poll(now_ns, now_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15)).is_some() {
            sent += 1;
            assert!(sent <= 2, "a final, and one more");
        }
        assert!(session.timeout() > now_ns);
        assert!(session.state() == was || session.state() == State::Down);
        let Ok(packet) = Packet::parse(input.take(packet::LEN)) else { continue };
        let discriminator = session.discriminator();
        let was = session.state();
        let taken = session.handle(now_ns, &packet).is_ok();
        assert!(taken || session.state() == was);
        if session.state() == State::Up {
            assert!(was == State::Up || packet.your_discriminator == discriminator);
        }
    }
}
