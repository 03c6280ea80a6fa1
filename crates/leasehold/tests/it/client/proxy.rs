//! Stands between a client and its server: cuts answers off, answers 503, and shifts times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does, and how often.
#[derive(Default)]
pub(crate) struct Faults {
    /// So many answers are lost after the server gave them.
    pub(crate) lost_answers: AtomicUsize,
    /// So many requests are answered 503 and never reach the server.
    pub(crate) refusals: AtomicUsize,
    /// Whether the server's clock seems to be a year behind.
    pub(crate) shifts: AtomicUsize,
    /// How many renewals have passed.
    pub(crate) renewals: AtomicUsize,
    /// How many requests came.
    pub(crate) requests: AtomicUsize,
}

/// Takes one from a counter, if there is one.
fn take(counter: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
}

/// Starts a proxy in front of a port. Answers its own port.
pub(crate) async fn start(server: u16, faults: Arc<Faults>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, server, Arc::clone(&faults)));
        }
    });
    port
}

async fn pass(mut client: TcpStream, server: u16, faults: Arc<Faults>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let request = &asked[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                faults.requests.fetch_add(1, Ordering::SeqCst);
                if request.starts_with(b"POST /api/leases/renew") {
                    faults.renewals.fetch_add(1, Ordering::SeqCst);
                }
                if take(&faults.refusals) {
                    let refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0.2\r\n\
                                   Content-Length: 0\r\nConnection: close\r\n\r\n";
                    return client.write_all(refusal.as_bytes()).await;
                }
                server.write_all(request).await?;
            }
            read = server.read(&mut answered) => {
                let answer = &mut answered[..read?];
                if answer.is_empty() || take(&faults.lost_answers) {
                    return Ok(());
                }
                if faults.shifts.load(Ordering::SeqCst) > 0 {
                    shift(answer);
                }
                client.write_all(answer).await?;
            }
        }
    }
}

/// Makes every time in the answer a year earlier.
fn shift(answer: &mut [u8]) {
    let year = b"\"2026-";
    for at in 0..answer.len().saturating_sub(year.len()) {
        if answer[at..].starts_with(year) {
            answer[at + 4] = b'5';
        }
    }
}
