//! The SDK with a real server that dies, hangs, restarts, refuses, and loses answers.

mod adversity;
mod events;
mod hold;
mod keys;
mod loss;
mod proxy;
mod waiting;

use std::net::TcpListener;
use std::time::Duration;

use leasehold_client::{Client, NewLimit};

use crate::server::program::{Home, Server};

/// Short, so that the tests are; long enough for a busy machine.
pub(crate) const TTL: Duration = Duration::from_secs(3);

/// A server that can be started again at the same address.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) server: Option<Server>,
    pub(crate) port: u16,
}

impl World {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let home = Home::new();
        let port = free_port();
        let mut world = Self { home, server: None, port };
        world.start(arguments);
        world
    }

    pub(crate) fn start(&mut self, arguments: &[&str]) {
        let port = self.port.to_string();
        let mut command = self.home.leasehold(["server", "start", "--port", &port]);
        command.arg("--data-dir").arg(self.home.data_dir()).args(arguments);
        self.server = Some(Server::start(command));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        drop(self.server.take());
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }

    pub(crate) fn client(&self) -> Client {
        client_at(self.port)
    }

    /// With the limit `db` of so many slots.
    pub(crate) async fn with_limit(slots: u64) -> (Self, Client) {
        let world = Self::new(&[]);
        let client = world.client();
        client.create_limit(&NewLimit::new("db", slots)).await.unwrap();
        (world, client)
    }
}

pub(crate) fn client_at(port: u16) -> Client {
    let url = format!("http://127.0.0.1:{port}/api");
    Client::builder().url(url).retry_for(Duration::from_secs(20)).build().unwrap()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// How many slots of `db` are taken.
pub(crate) async fn taken(client: &Client) -> u64 {
    client.limit("db").await.unwrap().active_slots
}

/// Waits until so many slots of `db` are taken.
pub(crate) async fn until_taken(client: &Client, slots: u64) {
    for _ in 0..2_000 {
        if taken(client).await == slots {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} slots are taken, not {slots}", taken(client).await);
}
