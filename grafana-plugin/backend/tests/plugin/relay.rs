//! A relay between the plugin and a server that keeps what the plugin sends, as somebody on the wire would see it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// PostgreSQL's request for TLS, eight bytes; and the number by which a cancel request begins, after its length.
const WANTS_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const CANCEL: [u8; 4] = [4, 210, 22, 46];
/// What a TLS handshake begins with: the kind of record, and the major version.
const HANDSHAKE: [u8; 2] = [22, 3];

/// It listens until the process ends.
pub(crate) struct Relay {
    pub(crate) port: u16,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    /// To a port on this machine.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let relay = Relay {
            port: listener.local_addr().unwrap().port(),
            sent: Arc::default(),
        };
        let sent = Arc::clone(&relay.sent);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                let index = {
                    let mut sent = sent.lock().unwrap();
                    sent.push(Vec::new());
                    sent.len() - 1
                };
                let (sent, back) = (
                    Arc::clone(&sent),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                );
                std::thread::spawn(move || pass(client, server, |bytes| sent.lock().unwrap()[index].extend(bytes)));
                std::thread::spawn(move || pass(back.0, back.1, |_| ()));
            }
        });
        relay
    }

    /// How many connections there were; fails unless each was protected from its first byte on and showed none of these words.
    pub(crate) fn protected(&self, words: &[&str]) -> usize {
        let sent = self.sent.lock().unwrap();
        for bytes in sent.iter() {
            let (asked, protected) = bytes.split_at(bytes.len().min(WANTS_TLS.len()));
            assert_eq!(asked, WANTS_TLS, "it does not ask for TLS");
            assert_eq!(protected[..2], HANDSHAKE, "it asks for TLS, and goes on without");
            let shows = |what: &[u8]| protected.windows(what.len()).any(|part| part == what);
            assert!(!shows(&CANCEL), "a cancel request in the clear");
            for word in words {
                assert!(!shows(word.as_bytes()), "{word} in the clear");
            }
        }
        sent.len()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = [0_u8; 8_192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction may be over already.
    let _ = to.shutdown(Shutdown::Write);
}
