//! TLS as the client speaks it: one version, one certificate, one protocol, as the case says.
//!
//! Decided here: how a connection to the gateway is opened, plain or over TLS, and whether a session is resumed.
//! Not here: what goes over it (`client`), and whom the gateway believes. The client presents whatever certificate it
//! is given: a forged one has to reach the gateway to be refused there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use postern_tests::certificates::{self, Certificate};
use postern_tests::scenario::{ClientTls, Protocol, TlsVersion};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// The name that the client asks for; the gateway has one certificate for all hosts.
const SERVER: &str = "api.example.com";

/// An open connection, plain or TLS.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A client that remembers its sessions: what it opens second may be resumed.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// A client with the certificate and the version of `connection`.
    ///
    /// # Errors
    /// When a file of the test certificates is broken.
    pub fn new(connection: ClientTls, protocol: Protocol) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(certificates::authority_pem().as_bytes())
            .map_err(|error| format!("the authority: {error}"))?;
        roots
            .add(authority)
            .map_err(|error| format!("the authority: {error}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version(connection.version)])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match connection.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = parsed(certificate)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("{}: {error}", certificate.name))?
            }
        };
        config.alpn_protocols = vec![alpn(protocol).to_vec()];
        config.resumption = Resumption::in_memory_sessions(8);
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Opens a connection from the loopback address `from`; with it, whether an earlier session was resumed.
    ///
    /// # Errors
    /// When there is no connection, or the handshake fails.
    pub async fn connect(
        &self,
        from: Ipv4Addr,
        to: SocketAddr,
    ) -> Result<(Box<dyn Wire>, bool), String> {
        let name = ServerName::try_from(SERVER).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, plain(from, to).await?)
            .await
            .map_err(|error| format!("TLS {from} -> {to}: {error}"))?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((Box::new(stream), resumed))
    }
}

/// Opens a connection from the loopback address `from`, over TLS when `connection` says so.
///
/// # Errors
/// When there is no connection, or the handshake fails.
pub async fn connect(
    connection: Option<ClientTls>,
    protocol: Protocol,
    from: Ipv4Addr,
    to: SocketAddr,
) -> Result<Box<dyn Wire>, String> {
    match connection {
        None => Ok(Box::new(plain(from, to).await?)),
        // A client of its own for each connection: nothing is resumed by accident.
        Some(connection) => {
            let (wire, _) = Client::new(connection, protocol)?.connect(from, to).await?;
            Ok(wire)
        }
    }
}

/// A TCP connection from the loopback address `from`.
async fn plain(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream, String> {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    connect
        .await
        .map_err(|error| format!("connect {from} -> {to}: {error}"))
}

fn version(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
    }
}

fn alpn(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::H1 => b"http/1.1",
        Protocol::H2 => b"h2",
    }
}

type Parsed = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn parsed(certificate: &Certificate) -> Result<Parsed, String> {
    let bad = |error: rustls::pki_types::pem::Error| format!("{}: {error}", certificate.name);
    let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).map_err(bad)?;
    Ok((chain, key))
}
