//! Clients that go on while the fleet changes under them: some on connections that stay open, some on a new one each time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use remuda_lab::netns;

/// An answer that takes longer will not come: several retransmissions have failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Pause between two rounds through all connections, and between two looks at a listener.
const TICK: Duration = Duration::from_millis(5);

/// Tells every connection its name, then echoes it byte by byte; takes no new ones when dropped.
pub struct Echo {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Listens on `at` in the namespace (a name or a path).
    pub fn start(namespace: &str, name: &str, at: SocketAddr) -> Result<Echo> {
        let listener = netns::inside(namespace, || TcpListener::bind(at))?
            .with_context(|| format!("listening on {at} in {namespace}"))?;
        listener.set_nonblocking(true)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, name) = (is_over.clone(), name.to_owned());
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(std::thread::spawn({
                        let name = name.clone();
                        move || echo(stream, &name)
                    })),
                    Err(_) => std::thread::sleep(TICK),
                }
            }
        });
        Ok(Echo { is_over, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Until the client closes.
fn echo(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.write_all(format!("{name}\n").as_bytes())?;
    let mut reader = stream.try_clone()?;
    std::io::copy(&mut reader, &mut stream).map(drop)
}

/// Clients that speak in turn, without end, from a thread of their own.
pub struct Talkers {
    namespace: String,
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Inner {
    is_over: AtomicBool,
    talks: Mutex<Talks>,
}

#[derive(Default)]
struct Talks {
    open: Vec<Talk>,
    broken: Vec<String>,
    rounds: usize,
}

struct Talk {
    server: String,
    to: SocketAddr,
    stream: TcpStream,
}

impl Talkers {
    /// Nobody talks yet.
    pub fn start(namespace: &str) -> Talkers {
        let inner = Arc::new(Inner::default());
        let shared = inner.clone();
        let thread = std::thread::spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                shared.talks().round();
                std::thread::sleep(TICK);
            }
        });
        Talkers { namespace: namespace.to_owned(), inner, thread: Some(thread) }
    }

    /// Opens so many connections to each address; returns which servers they met.
    pub fn open(&self, to: &[SocketAddr], each: usize) -> Result<Vec<String>> {
        let all = to.iter().flat_map(|to| std::iter::repeat_n(*to, each));
        let talks: Vec<Talk> = netns::inside(&self.namespace, || all.map(connect).collect::<Result<_>>())??;
        let servers = talks.iter().map(|talk| talk.server.clone()).collect();
        self.inner.talks().open.extend(talks);
        Ok(servers)
    }

    /// Closes those that lead to these servers.
    pub fn close(&self, servers: &[&str]) {
        self.inner.talks().open.retain(|talk| !servers.contains(&talk.server.as_str()));
    }

    /// After everybody has spoken once more: how many are open, and what became of the others.
    pub fn heard(&self) -> (usize, Vec<String>) {
        let mut talks = self.inner.talks();
        talks.round();
        (talks.open.len(), talks.broken.clone())
    }

    /// How often everybody has spoken.
    pub fn rounds(&self) -> usize {
        self.inner.talks().rounds
    }
}

impl Drop for Talkers {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn talks(&self) -> MutexGuard<'_, Talks> {
        self.talks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Talks {
    fn round(&mut self) {
        let broken = &mut self.broken;
        self.open.retain_mut(|talk| match talk.speak() {
            Ok(()) => true,
            Err(error) => {
                broken.push(format!("{} behind {}: {error}", talk.server, talk.to));
                false
            }
        });
        self.rounds += 1;
    }
}

/// Clients that connect, speak once and leave, again and again; each from a thread of its own.
pub struct Visitors {
    inner: Arc<Visits>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Visits {
    is_over: AtomicBool,
    served: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Visitors {
    pub fn start(namespace: &str, to: &[SocketAddr], count: usize) -> Visitors {
        let inner = Arc::new(Visits::default());
        let visitor = |_| {
            let (namespace, to, inner) = (namespace.to_owned(), to.to_vec(), inner.clone());
            std::thread::spawn(move || {
                let result = netns::inside(&namespace, || inner.go_round(&to));
                inner.note(result.map_err(|error| format!("{error:#}")));
            })
        };
        let threads = (0..count).map(visitor).collect();
        Visitors { inner, threads }
    }

    /// How many were served, and what became of the others.
    pub fn heard(&self) -> (usize, Vec<String>) {
        let failed = self.inner.failed.lock().unwrap_or_else(PoisonError::into_inner);
        (self.inner.served.load(Ordering::Relaxed), failed.clone())
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Visits {
    fn go_round(&self, to: &[SocketAddr]) {
        for to in to.iter().cycle() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let visit = connect(*to).and_then(|mut talk| Ok(talk.speak()?));
            if visit.is_ok() {
                self.served.fetch_add(1, Ordering::Relaxed);
            }
            self.note(visit.map_err(|error| format!("{error:#}")));
        }
    }

    fn note(&self, result: Result<(), String>) {
        if let Err(error) = result {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        }
    }
}

fn connect(to: SocketAddr) -> Result<Talk> {
    let stream = TcpStream::connect_timeout(&to, ANSWER_LIMIT).with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut greeting = String::new();
    // Nothing follows the greeting before this client speaks, so the reader holds nothing back.
    BufReader::new(&stream).read_line(&mut greeting).with_context(|| format!("hearing who answers at {to}"))?;
    anyhow::ensure!(greeting.ends_with('\n'), "the connection to {to} ended before anybody said a name");
    Ok(Talk { server: greeting.trim().to_owned(), to, stream })
}

impl Talk {
    fn speak(&mut self) -> std::io::Result<()> {
        let mut heard = [0];
        self.stream.write_all(b"?")?;
        self.stream.read_exact(&mut heard)
    }
}
