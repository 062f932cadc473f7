//! Engines on a virtual wire in virtual time: the bulk of the protocol tests, without privileges.

mod feed;
mod wire;

mod acknowledgements;
mod arp;
mod backlog;
mod buffers;
mod echo;
mod extension_headers;
mod fragments;
mod guards;
mod handshakes;
mod hostile;
mod hostile_tcp;
mod identity;
mod keepalive;
mod long_datagrams;
mod loopback;
mod loss;
mod model;
mod ndp;
mod path_mtu;
mod peer;
mod ports;
mod prediction;
mod routes;
mod segment_size;
mod stalls;
mod states;
mod tcp_bulk;
mod tcp_close;
mod tcp_flow;
mod tcp_open;
mod timestamps;
mod udp;
mod urgent;
