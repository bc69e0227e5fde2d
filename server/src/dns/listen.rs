//! Sockets of the DNS: datagrams, and connections with bounds on how many there are and how long they may be slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Dns;
use super::answer::Transport;
use super::limit::Verdict;
use crate::strangers::Strangers;

/// Longest question in a datagram: the longest name, options, and a signature.
const QUESTION_BYTES_MAX: usize = 4096;
/// How long a connection may take for a question, from its first byte or the answer before to its last.
const QUESTION_TIME: Duration = Duration::from_secs(5);
/// How long it may take to take an answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Questions over one connection.
const QUESTIONS_MAX: usize = 1000;
/// Datagrams answered before others have their turn.
const IN_A_ROW: usize = 64;

/// Answers datagrams for ever.
pub async fn udp(dns: Arc<Dns>, socket: UdpSocket) {
    let mut question = vec![0; QUESTION_BYTES_MAX];
    let mut in_a_row = 0;
    loop {
        // What the system tells of answers that nobody took comes as errors, too.
        let Ok((len, from)) = socket.recv_from(&mut question).await else { continue };
        let verdict = dns.charge(from);
        if let Some(answer) =
            dns.answer(question.get(..len).unwrap_or_default(), from, Transport::Udp, verdict)
        {
            // Where there is no room, the answer is lost, as any datagram may be.
            drop(socket.try_send_to(&answer, from));
        }
        in_a_row += 1;
        if in_a_row == IN_A_ROW {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Takes connections for ever; where there is no room, the oldest makes some.
pub async fn tcp(dns: Arc<Dns>, listener: TcpListener) {
    let clients = Strangers::default();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let client = clients.admit(from.ip());
                let dns = dns.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        // Whatever ends it, the client asks anew.
                        _ = conversation(&dns, stream, from) => {}
                        () = client.evicted() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!("a DNS connection is not taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Questions and answers, each behind its length (RFC 7766 section 8).
async fn conversation(dns: &Dns, mut stream: TcpStream, from: SocketAddr) -> std::io::Result<()> {
    drop(stream.set_nodelay(true));
    for _ in 0..QUESTIONS_MAX {
        let question = timeout(QUESTION_TIME, async {
            let len = stream.read_u16().await?;
            let mut question = vec![0; usize::from(len)];
            stream.read_exact(&mut question).await?;
            std::io::Result::Ok(question)
        });
        let question = question.await??;
        let Some(answer) = dns.answer(&question, from, Transport::Tcp, Verdict::Send) else { return Ok(()) };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend(answer);
        timeout(ANSWER_TIME, stream.write_all(&framed)).await??;
    }
    Ok(())
}
