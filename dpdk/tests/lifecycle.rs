//! Starting and ending DPDK. It starts once per process, so each case runs in a process of its own.
#![allow(clippy::unwrap_used)]

mod common;

use common::{ARGS, alone, command, mempool, packet, start};
use dpdk::{Clock, Device, Eal, Error, Pool, cycles, pin_to_core};
use packet::{BufPool, PacketBuf};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn starts_once() {
    alone("starts_once", || {
        let eal = Eal::init(ARGS).unwrap();
        assert!(Eal::version().starts_with("DPDK "));
        assert!(eal.log().contains("EAL"), "{}", eal.log());
        assert!(matches!(Eal::init(ARGS), Err(Error::AlreadyInitialised)));
        drop(eal);
        assert!(matches!(Eal::init(ARGS), Err(Error::AlreadyInitialised)));
    });
}

#[test]
fn unknown_arguments_are_named() {
    alone("unknown_arguments_are_named", || {
        let error = Eal::init(["--no-such-option"]).unwrap_err();
        assert!(matches!(error, Error::Arguments { .. }), "{error:?}");
        assert!(error.to_string().contains("no-such-option"), "{error}");
    });
}

#[test]
fn surplus_arguments_are_named() {
    alone("surplus_arguments_are_named", || {
        let error = Eal::init(ARGS.iter().chain(&["surplus"])).unwrap_err();
        assert!(error.to_string().contains("surplus"), "{error}");
    });
}

#[test]
fn wrong_values_are_refused() {
    alone("wrong_values_are_refused", || {
        let error = Eal::init(["--no-huge", "--no-shconf", "--lcores=some"]).unwrap_err();
        assert!(matches!(error, Error::Arguments { .. }), "{error:?}");
    });
}

#[test]
fn missing_hugepages_are_named() {
    alone("missing_hugepages_are_named", || {
        // More than any machine has free.
        let error = Eal::init(["--in-memory", "--no-pci", "-m", "900000", "--lcores=0@0"]).unwrap_err();
        assert!(matches!(error, Error::NoHugepages { .. }), "{error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    });
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    alone("an_ordinary_user_is_told_what_is_missing", || {
        // SAFETY: concerns this process alone, which is here for this.
        assert_eq!(unsafe { libc::setuid(65534) }, 0, "needs root to become an ordinary user");
        let eal = Eal::init(ARGS).unwrap();
        let error = Device::find(&eal, "net_af_packet0,iface=lo").unwrap_err();
        assert!(matches!(error, Error::NoPermission { .. }), "{error:?}");
    });
}

#[test]
fn a_vdev_that_does_not_start_is_an_error() {
    alone("a_vdev_that_does_not_start_is_an_error", || {
        let error = Eal::init(ARGS.iter().chain(&["--vdev=net_nosuch0"])).unwrap_err();
        assert!(matches!(error, Error::Start { .. }), "{error:?}");
        assert!(error.to_string().contains("net_nosuch0"), "{error}");
    });
}

#[test]
fn a_file_prefix_in_use_is_named() {
    alone("a_file_prefix_in_use_is_named", || {
        let mut holder =
            command("holds_a_file_prefix").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("holding")));
        let error = Eal::init(prefix_args(holder.id())).unwrap_err();
        assert!(matches!(error, Error::FilePrefixInUse), "{error:?}");
        drop(holder.stdin.take());
        holder.wait().unwrap();
        let _ = std::fs::remove_dir_all(format!("/var/run/dpdk/proa-test-{}", holder.id()));
    });
}

#[test]
#[ignore = "the other half of a_file_prefix_in_use_is_named"]
fn holds_a_file_prefix() {
    let _eal = Eal::init(prefix_args(std::process::id())).unwrap();
    println!("holding");
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn prefix_args(id: u32) -> Vec<String> {
    let prefix = format!("--file-prefix=proa-test-{id}");
    ["--no-huge", "-m", "64", "--no-pci", "--lcores=0@0", &prefix].map(String::from).into()
}

#[test]
fn everything_may_be_dropped_in_any_order() {
    alone("everything_may_be_dropped_in_any_order", || {
        let eal = Eal::init(ARGS).unwrap();
        let mempool = mempool(&eal, 256);
        let mut pool = Pool::new(&mempool);
        let mbuf = packet(&mut pool, &[3; 60]);
        let (port, rx, tx) = start(&eal, "net_ring0", &mempool);
        drop(eal);
        drop(mempool);
        drop(port);
        drop(pool);
        drop(tx);
        drop(rx);
        // Nothing but the mbuf is left, and its memory is still there.
        assert_eq!(mbuf.data(), [3; 60]);
        drop(mbuf);
    });
}

#[test]
fn vdevs_given_at_start_are_found() {
    alone("vdevs_given_at_start_are_found", || {
        let eal = Eal::init(ARGS.iter().chain(&["--vdev=net_null0", "--vdev=net_null1,size=100"])).unwrap();
        let devices = Device::all(&eal);
        let names: Vec<&str> = devices.iter().map(|device| device.info().name.as_str()).collect();
        assert_eq!(names, ["net_null0", "net_null1"]);
        assert!(Device::all(&eal).is_empty());
        drop(devices);
        assert_eq!(Device::find(&eal, "net_null1").unwrap().info().driver, "net_null");
    });
}

#[test]
fn threads_and_time() {
    alone("threads_and_time", || {
        assert!(matches!(pin_to_core(100_000), Err(Error::Core { core: 100_000, .. })));
        assert!(matches!(pin_to_core(1023), Err(Error::Core { core: 1023, .. })));
        pin_to_core(0).unwrap();
        let eal = Eal::init(ARGS).unwrap();
        let (clock, wall) = (Clock::new(&eal), Instant::now());
        std::thread::sleep(Duration::from_millis(100));
        let (measured, expected) = (clock.now_ns() as f64, wall.elapsed().as_nanos() as f64);
        assert!((measured / expected - 1.0).abs() < 0.05, "{measured} {expected}");
        assert!(cycles() > 0 && clock.hz() == eal.tsc_hz());
        std::thread::spawn(move || {
            let registration = dpdk::Registration::new(&eal).unwrap();
            assert_eq!(registration.socket().is_some(), dpdk::socket_of_core(0).is_some());
            let mempool = mempool(&eal, 64);
            drop(eal);
            drop(Pool::new(&mempool).alloc().unwrap());
            drop(mempool);
            drop(registration);
        })
        .join()
        .unwrap();
    });
}
