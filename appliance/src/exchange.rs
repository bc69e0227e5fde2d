//! The queues between the workers and the control thread: all bounded, none ever blocks.
//!
//! ```text
//!   worker 0 ── handoff ──► worker 1          control ── orders, frames ──► worker
//!      ▲                       │                 ▲                            │
//!      └─────── handoff ───────┘                 └────── punts, pages ────────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use nat::BLOCKS;
use overlay::seal::SealTable;
use packet::Reason;
use pipelines::leases::Lease;
use pipelines::trace::Seen;
use pipelines::{Cause, Handoff, PortIndex, Punt, Tables, Told};

use crate::listing::{Page, Query};

/// Frames that may wait for a worker, shared out over those that hand over to it.
const HANDOFF_FRAMES: usize = 8192;
/// Frames that wait between two workers at least.
const HANDOFF_FRAMES_MIN: usize = 512;
/// Frames from the control thread that wait for a worker.
const INJECT_FRAMES: usize = 1024;
/// Frames about liveness that wait for the control thread, from each worker.
const URGENT_FRAMES: usize = 1024;
/// Orders that wait for a worker, and pages that wait for the control thread.
const ORDERS: usize = 64;
/// Hop records that wait for the control thread, from each worker.
const TRACES: usize = 1024;
/// Events of sessions that wait for the control thread, from each worker.
const EVENTS: usize = 8192;

/// Binding records that wait for a worker.
const ASTRAY: usize = 1024;

/// What the control thread tells a worker to do at its next batch border.
pub enum Order {
    /// Forward by this snapshot.
    Tables(Arc<Tables>),
    /// Seal and open with these keys.
    Keys(Arc<SealTable>),
    /// Translate the two blocks of addresses by these leases; the number counts such orders.
    Leases([Lease; BLOCKS], u64),
    /// Show a piece of a table.
    List(Query),
    /// Receive nothing more, hand out what is inside, and end.
    Stop,
}

/// Wakes the control thread; called only when it sleeps.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The control thread's sleep, which a worker ends when it has something for it.
pub struct Alarm {
    asleep: AtomicBool,
    wake: Wake,
}

impl Alarm {
    /// An alarm that rings by calling `wake`.
    pub fn new(wake: Wake) -> Alarm {
        Alarm { asleep: AtomicBool::new(false), wake }
    }

    /// Control: about to sleep. What is queued before this has to be looked for once more after it.
    pub fn sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Control: awake again.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Worker: something was queued.
    fn ring(&self) {
        // Pairs with the fence in `sleep`: either this sees the sleeper, or the sleeper sees what was queued.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            (self.wake)();
        }
    }
}

/// One worker's letter-box.
struct Letters<B> {
    /// Whether something lies in `orders` or `frames`: one load per loop tells.
    rang: CachePadded<AtomicBool>,
    orders: ArrayQueue<Order>,
    frames: ArrayQueue<(PortIndex, B)>,
    punts: ArrayQueue<Punt<B>>,
    /// Punts that tell whether links and paths live: their own queue, so that no other kind keeps them waiting.
    urgent: ArrayQueue<Punt<B>>,
    pages: ArrayQueue<Box<Page>>,
    /// Hop records that ended here. Nobody is woken for them.
    traces: ArrayQueue<Seen>,
    /// What happened to sessions. Nobody is woken for it.
    events: ArrayQueue<nat::Event>,
    /// Binding records that another worker could make nothing of. Nobody is woken for them.
    astray: ArrayQueue<Told>,
    /// Frames from each other worker, by its number.
    handoffs: Vec<ArrayQueue<Handoff<B>>>,
}

/// All queues of a node.
pub struct Exchange<B> {
    boxes: Vec<Letters<B>>,
    alarm: Alarm,
}

impl<B> Exchange<B> {
    /// Queues for so many workers; `punts` frames in all may wait for the control thread.
    pub fn new(workers: usize, punts: usize, wake: Wake) -> Arc<Exchange<B>> {
        let handoffs = (HANDOFF_FRAMES / workers.max(1)).max(HANDOFF_FRAMES_MIN);
        let one = || Letters {
            rang: CachePadded::new(AtomicBool::new(false)),
            orders: ArrayQueue::new(ORDERS),
            frames: ArrayQueue::new(INJECT_FRAMES),
            punts: ArrayQueue::new((punts / workers.max(1)).max(1)),
            urgent: ArrayQueue::new(URGENT_FRAMES),
            pages: ArrayQueue::new(ORDERS),
            traces: ArrayQueue::new(TRACES),
            events: ArrayQueue::new(EVENTS),
            astray: ArrayQueue::new(ASTRAY),
            handoffs: (0..workers).map(|_| ArrayQueue::new(handoffs)).collect(),
        };
        Arc::new(Exchange { boxes: (0..workers).map(|_| one()).collect(), alarm: Alarm::new(wake) })
    }

    /// Workers.
    pub fn workers(&self) -> usize {
        self.boxes.len()
    }

    /// The control thread's sleep.
    pub fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// Control: an order for a worker.
    ///
    /// # Errors
    /// The order, when too many wait.
    pub fn order(&self, worker: usize, order: Order) -> Result<(), Order> {
        let Some(to) = self.boxes.get(worker) else { return Err(order) };
        to.orders.push(order)?;
        to.rang.store(true, Ordering::Release);
        Ok(())
    }

    /// Control: a frame for a worker to send.
    ///
    /// # Errors
    /// The frame, when too many wait.
    pub fn inject(&self, worker: usize, port: PortIndex, buf: B) -> Result<(), B> {
        let Some(to) = self.boxes.get(worker) else { return Err(buf) };
        to.frames.push((port, buf)).map_err(|(_, buf)| buf)?;
        to.rang.store(true, Ordering::Release);
        Ok(())
    }

    /// Control: the next punted frame of any worker, urgent ones first.
    pub fn punted(&self) -> Option<Punt<B>> {
        let urgent = self.boxes.iter().find_map(|from| from.urgent.pop());
        urgent.or_else(|| self.boxes.iter().find_map(|from| from.punts.pop()))
    }

    /// Control: the next page of any worker.
    pub fn page(&self) -> Option<Box<Page>> {
        self.boxes.iter().find_map(|from| from.pages.pop())
    }

    /// Control: the next hop record that ended here, each worker's in their order.
    pub fn traced(&self) -> Option<Seen> {
        self.boxes.iter().find_map(|from| from.traces.pop())
    }

    /// Control: the next event of a worker's sessions.
    pub fn event(&self, worker: usize) -> Option<nat::Event> {
        self.boxes.get(worker)?.events.pop()
    }

    /// Whether frames wait for another worker.
    pub fn handoffs_waiting(&self) -> bool {
        self.boxes.iter().any(|to| to.handoffs.iter().any(|queue| !queue.is_empty()))
    }

    /// Frees all that is queued. The workers have ended.
    pub fn clear(&self) {
        for letters in &self.boxes {
            while letters.frames.pop().is_some() {}
            while letters.punts.pop().is_some() {}
            while letters.urgent.pop().is_some() {}
            while letters.handoffs.iter().any(|queue| queue.pop().is_some()) {}
        }
    }

    /// Whether something waits for the control thread.
    pub fn control_has_work(&self) -> bool {
        let waits =
            |from: &Letters<B>| !from.punts.is_empty() || !from.urgent.is_empty() || !from.pages.is_empty();
        self.boxes.iter().any(waits)
    }
}

/// One worker's side of the exchange.
pub struct Desk<B> {
    exchange: Arc<Exchange<B>>,
    worker: usize,
}

impl<B> Desk<B> {
    /// The side of worker `worker`, which is one of the exchange's.
    pub fn new(exchange: &Arc<Exchange<B>>, worker: usize) -> Desk<B> {
        Desk { exchange: exchange.clone(), worker }
    }

    #[inline(always)]
    fn own(&self) -> &Letters<B> {
        &self.exchange.boxes[self.worker]
    }

    /// Whether the control thread has left something since the last [`Desk::answer_bell`].
    #[inline(always)]
    pub fn rang(&self) -> bool {
        self.own().rang.load(Ordering::Relaxed)
    }

    /// To be called before looking at orders and frames: what comes later rings again.
    pub fn answer_bell(&self) {
        self.own().rang.swap(false, Ordering::AcqRel);
    }

    /// The next order.
    pub fn order(&self) -> Option<Order> {
        self.own().orders.pop()
    }

    /// The next frame to send.
    pub fn frame(&self) -> Option<(PortIndex, B)> {
        self.own().frames.pop()
    }

    /// How many workers may have handed something over.
    #[inline(always)]
    pub fn workers(&self) -> usize {
        self.exchange.boxes.len()
    }

    /// The next frame that another worker has handed over.
    #[inline(always)]
    pub fn handoff(&self, from: usize) -> Option<Handoff<B>> {
        // A look first: popping an empty queue costs a fence.
        let queue = self.own().handoffs.get(from).filter(|queue| !queue.is_empty())?;
        queue.pop()
    }

    /// Hands a frame to another worker.
    ///
    /// # Errors
    /// The frame with the reason to drop it for.
    #[inline]
    pub fn hand_over(&self, handoff: Handoff<B>) -> Result<(), (B, Reason)> {
        let to = self.exchange.boxes.get(handoff.worker as usize);
        match to.and_then(|to| to.handoffs.get(self.worker)) {
            Some(queue) => queue.push(handoff).map_err(|handoff| (handoff.buf, Reason::HandoffFull)),
            None => Err((handoff.buf, Reason::HandoffFull)),
        }
    }

    /// Hands a frame to the control thread.
    ///
    /// # Errors
    /// The frame, when too many wait.
    pub fn punt(&self, punt: Punt<B>) -> Result<(), B> {
        let own = self.own();
        let queue =
            if matches!(punt.cause, Cause::Liveness | Cause::Keys | Cause::LinkState | Cause::Takeover) {
                &own.urgent
            } else {
                &own.punts
            };
        queue.push(punt).map_err(|punt| punt.buf)?;
        self.exchange.alarm.ring();
        Ok(())
    }

    /// Gives all other workers a binding record; says how many had no room.
    pub fn pass_around(&self, told: Told) -> u64 {
        let others = self.exchange.boxes.iter().enumerate().filter(|(worker, _)| *worker != self.worker);
        others.map(|(_, to)| to.astray.push(told).is_err() as u64).sum()
    }

    /// The next binding record that another worker could make nothing of.
    pub fn astray(&self) -> Option<Told> {
        let queue = Some(&self.own().astray).filter(|queue| !queue.is_empty())?;
        queue.pop()
    }

    /// Leaves a hop record for the control thread, which looks by itself; says whether there was room.
    pub fn leave_trace(&self, seen: Seen) -> bool {
        self.own().traces.push(seen).is_ok()
    }

    /// Leaves an event for the control thread, which looks by itself; says whether there was room.
    pub fn leave_event(&self, event: nat::Event) -> bool {
        self.own().events.push(event).is_ok()
    }

    /// Hands a page to the control thread; lost when too many wait, which its requests never lead to.
    pub fn hand_in(&self, page: Box<Page>) {
        drop(self.own().pages.push(page));
        self.exchange.alarm.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_alarm_rings_only_for_a_sleeper_and_once() {
        let rings = Arc::new(AtomicUsize::new(0));
        let counted = rings.clone();
        let wake: Wake = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let exchange = Exchange::<u32>::new(1, 16, wake);
        let desk = Desk::new(&exchange, 0);
        let punt = || Punt { buf: 7, port: PortIndex(0), cause: Cause::Local };
        desk.punt(punt()).unwrap();
        assert_eq!(rings.load(Ordering::Relaxed), 0);
        exchange.alarm().sleep();
        assert!(exchange.control_has_work());
        desk.punt(punt()).unwrap();
        desk.punt(punt()).unwrap();
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        assert_eq!(core::iter::from_fn(|| exchange.punted()).count(), 3);
    }

    #[test]
    fn what_tells_of_liveness_has_its_own_queue_and_comes_first() {
        let exchange = Exchange::<u32>::new(1, 2, Box::new(|| {}));
        let desk = Desk::new(&exchange, 0);
        let punt = |buf, cause| Punt { buf, port: PortIndex(0), cause };
        while desk.punt(punt(1, Cause::Local)).is_ok() {}
        desk.punt(punt(2, Cause::Liveness)).unwrap();
        let taken: Vec<u32> = core::iter::from_fn(|| exchange.punted()).map(|punt| punt.buf).collect();
        assert_eq!(taken, [2, 1, 1]);
    }

    #[test]
    fn queues_are_bounded_and_give_back_what_does_not_fit() {
        let exchange = Exchange::<u32>::new(2, 4, Box::new(|| {}));
        let (one, two) = (Desk::new(&exchange, 0), Desk::new(&exchange, 1));
        let punt = |buf| Punt { buf, port: PortIndex(0), cause: Cause::Local };
        assert!(one.punt(punt(1)).is_ok() && one.punt(punt(2)).is_ok());
        assert_eq!(one.punt(punt(3)), Err(3));
        let handoff = |buf, worker| Handoff { buf, port: PortIndex(1), worker };
        for buf in 0..HANDOFF_FRAMES as u32 / 2 {
            one.hand_over(handoff(buf, 1)).unwrap();
        }
        assert_eq!(one.hand_over(handoff(5, 1)), Err((5, Reason::HandoffFull)));
        assert_eq!(one.hand_over(handoff(5, 9)), Err((5, Reason::HandoffFull)));
        assert_eq!(two.handoff(0).map(|handoff| handoff.buf), Some(0));
        assert!(two.handoff(1).is_none() && one.handoff(1).is_none());
        assert_eq!(exchange.inject(7, PortIndex(0), 3), Err(3));
        exchange.inject(0, PortIndex(0), 3).unwrap();
        assert!(one.rang() && !two.rang());
        one.answer_bell();
        assert_eq!((one.rang(), one.frame()), (false, Some((PortIndex(0), 3))));
    }
}
