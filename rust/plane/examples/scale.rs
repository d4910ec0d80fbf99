//! What many SAs and policies cost: the time of a packet, and memory.
//!
//! A plane gets pairs of SAs (AES-128-GCM, ESP in UDP), each with a policy for one host. Packets of 64 octets go to hosts
//! that are drawn at random, and to one host all the time; each batch of 64 is sealed, then opened. `random` less `one` is
//! what it costs to find policy and SAs, and to have them fetched from memory, which grows until no cache holds anything of
//! them; `one` is what everything else costs.
//!
//! `cargo run --release -p caponier-plane --example scale` writes JSON: nanoseconds for each packet (medians of the batches),
//! and octets of resident memory for each pair of SAs with its policy.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use caponier_packet::virtio;
use caponier_plane::{
    ecn, Action, Arrival, DontFragment, Form, InboundParameters, Inbox, KeyMaterial, Lifetime,
    Mode, OutboundParameters, Outbox, Plane, PolicyParameters, Protocol, Selector, Tunnel, Width,
};

const POPULATIONS: [u32; 4] = [1, 100, 10_000, 100_000];
const BATCH: usize = 64;
const BATCHES: usize = 2000;
const FIRST_SPI: u32 = 0x1000;
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn main() {
    carry(&populate(1), || 0); // what the libraries allocate once is nobody's
    let measured: Vec<_> = POPULATIONS.into_iter().map(measure).collect();
    let rows: Vec<_> = measured.iter().map(|(row, _)| row.as_str()).collect();
    println!("[\n  {}\n]", rows.join(",\n  "));
}

/// The plane is kept, so that the next one gets fresh memory.
fn measure(pairs: u32) -> (String, Plane) {
    let before = resident();
    let plane = populate(pairs);
    let memory = resident().saturating_sub(before) / u64::from(pairs);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let random = carry(&plane, || dice.below(pairs));
    let one = carry(&plane, || 0);
    let row = format!(
        "{{\"pairs\": {pairs}, \"octets_per_pair\": {memory}, \
         \"seal_ns\": {{\"random\": {:.0}, \"one\": {:.0}}}, \"open_ns\": {{\"random\": {:.0}, \"one\": {:.0}}}}}",
        random.0, one.0, random.1, one.1
    );
    (row, plane)
}

/// Nanoseconds for each packet, to seal and to open, when `choose` chooses the host.
fn carry(plane: &Plane, mut choose: impl FnMut() -> u32) -> (f64, f64) {
    let (mut out, mut inbox) = (Outbox::new(), Inbox::without_datagrams());
    let (mut sealing, mut opening) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let frames: Vec<_> = (0..BATCH).map(|_| frame(host(choose()))).collect();
        let began = Instant::now();
        plane.seal_each(frames.iter().map(Vec::as_slice), &mut out);
        sealing.push(began.elapsed().as_nanos() as f64 / BATCH as f64);
        let mut packets: Vec<Vec<u8>> = Vec::new();
        for train in out.trains() {
            packets.extend(out.octets(train).chunks(train.segment).map(<[u8]>::to_vec));
        }
        let began = Instant::now();
        let arriving = packets
            .iter_mut()
            .map(|packet| (packet.as_mut_slice(), arrival()));
        plane.open_each(arriving, &mut inbox);
        opening.push(began.elapsed().as_nanos() as f64 / BATCH as f64);
        assert_eq!(inbox.frames().count(), BATCH, "every packet comes out");
        inbox.clear();
        out.clear();
    }
    (median(sealing), median(opening))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn populate(pairs: u32) -> Plane {
    let plane = Plane::new();
    for number in 0..pairs {
        plane
            .install_inbound(inbound(number))
            .expect("an inbound SA");
        let handle = plane
            .install_outbound(outbound(number))
            .expect("an outbound SA");
        let policy = PolicyParameters {
            policy: u64::from(number),
            interface: 0,
            order: 0,
            local: vec![everybody()],
            remote: vec![only(host(number))],
            action: Action::Protect(Some(handle)),
        };
        plane.install_policy(policy).expect("a policy");
    }
    plane
}

fn inbound(number: u32) -> InboundParameters {
    InboundParameters {
        spi: FIRST_SPI + number,
        protocol: Protocol::Esp,
        mode: Mode::Tunnel,
        keys: keys(),
        width: Width::Bits64,
        replay_window: 1024,
        local: vec![only(host(number))],
        remote: vec![everybody()],
        local_address: THERE.into(),
        remote_address: HERE.into(),
        remote_port: 4500,
        interface: 0,
        nat: None,
        ecn: true,
        clamp: 0,
        lifetime: Lifetime::default(),
    }
}

fn outbound(number: u32) -> OutboundParameters {
    OutboundParameters {
        spi: FIRST_SPI + number,
        protocol: Protocol::Esp,
        mode: Mode::Tunnel,
        keys: keys(),
        width: Width::Bits64,
        tfc: 0,
        tunnel: Tunnel {
            local: HERE.into(),
            local_port: 4500,
            remote: THERE.into(),
            remote_port: 4500,
        },
        marking: ecn::Marking::default(),
        df: DontFragment::Copy,
        path_mtu: 0,
        clamp: 0,
        lifetime: Lifetime::default(),
    }
}

fn keys() -> KeyMaterial {
    KeyMaterial::new(20, 128, &[7; 20], 0, &[])
}

fn arrival() -> Arrival {
    Arrival {
        protocol: Protocol::Esp,
        form: Form::Bare,
        local: Some(THERE.into()),
        remote: HERE.into(),
        remote_port: 4500,
        encapsulated: true,
        traffic_class: 0,
        hop_limit: 64,
    }
}

fn everybody() -> Selector {
    Selector {
        protocol: 0,
        start_port: 0,
        end_port: 65535,
        first: Ipv4Addr::UNSPECIFIED.into(),
        last: Ipv4Addr::BROADCAST.into(),
    }
}

fn only(host: Ipv4Addr) -> Selector {
    let host = IpAddr::from(host);
    Selector {
        first: host,
        last: host,
        ..everybody()
    }
}

/// The host behind a pair of SAs.
fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number)
}

/// What the TUN interface gives for a datagram of 64 octets.
fn frame(to: Ipv4Addr) -> Vec<u8> {
    let mut frame = virtio::Header::default().encode().to_vec();
    frame.extend([0x45, 0, 0, 64, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 255, 0, 1]);
    frame.extend(to.octets());
    frame.extend([0x30, 0x39, 0, 9, 0, 44, 0, 0]);
    frame.resize(virtio::HEADER_LEN + 64, 0);
    frame
}

/// Octets of resident memory (proc_pid_statm(5)).
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) % u64::from(end)) as u32
    }
}
