"""A gate of TLS and SCRAM-SHA-512 before a broker that has neither.

It answers the requests of Kafka's connection set-up itself (ApiVersions, SaslHandshake,
SaslAuthenticate; the protocol is documented at kafka.apache.org/protocol, SCRAM in RFC 5802) and
passes everything else on.
"""

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import ipaddress
import os
import socket
import ssl
import struct
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rehearsal.long_poll import address

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
UNSUPPORTED_VERSION, AUTHENTICATION_FAILED = 35, 58
ITERATIONS = 4096


def make_certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


class SaslGateway:
    """Listens on loopback as soon as it is made; lets one user in."""

    def __init__(self, broker_port: int, certificate: Path, *, user: str, password: str) -> None:
        self._broker_port = broker_port
        self._user, self._password = user, password
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        # A shutdown wakes the thread that accepts; a close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        broker = socket.create_connection(("127.0.0.1", self._broker_port))
        with contextlib.suppress(OSError, EOFError), broker, raw:
            client = self._tls.wrap_socket(raw, server_side=True)
            with client:
                if self._admit(client, broker):
                    threading.Thread(
                        target=self._answer, args=(broker, client), daemon=True
                    ).start()
                    _pump(client, broker)

    def _answer(self, broker: socket.socket, client: socket.socket) -> None:
        """Pass answers on; those that say where the broker is name the gate."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                answer = _receive(broker)
                _send(client, answer.replace(address(self._broker_port), address(self.port)))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _admit(self, client: socket.socket, broker: socket.socket) -> bool:
        """Go through the set-up; False if the user may not enter."""
        scram = _Scram(self._user, self._password)
        while True:
            request = _receive(client)
            key, version, correlation = struct.unpack(">hhi", request[:8])
            if key == API_VERSIONS and version > 0:
                _send(client, struct.pack(">ih", correlation, UNSUPPORTED_VERSION) + bytes(4))
            elif key == API_VERSIONS:
                _send(broker, request)
                _send(client, _with_sasl(_receive(broker)))
            elif key == SASL_HANDSHAKE:
                mechanism = b"SCRAM-SHA-512"
                names = struct.pack(">ih", 1, len(mechanism)) + mechanism
                _send(client, struct.pack(">ih", correlation, 0) + names)
            elif key == SASL_AUTHENTICATE:
                (skip,) = struct.unpack(">h", request[8:10])
                answer = scram.answer(request[10 + max(skip, 0) + 4 :])
                code = 0 if answer is not None else AUTHENTICATION_FAILED
                text = b"wrong user or password"
                message = (
                    struct.pack(">h", -1) if code == 0 else struct.pack(">h", len(text)) + text
                )
                body = struct.pack(">i", len(answer or b"")) + (answer or b"")
                lifetime = bytes(8) if version > 0 else b""
                _send(client, struct.pack(">ih", correlation, code) + message + body + lifetime)
                if answer is None or scram.is_complete:
                    return scram.is_complete


class _Scram:
    """The server's side of SCRAM-SHA-512."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._salt = os.urandom(16)
        self._salted = hashlib.pbkdf2_hmac("sha512", password.encode(), self._salt, ITERATIONS)
        self._first = self._server_first = b""
        self.is_complete = False

    def answer(self, message: bytes) -> bytes | None:
        """The next message, or None if the proof is wrong."""
        if not self._first:
            self._first = message.removeprefix(b"n,,")
            nonce = dict(part.split(b"=", 1) for part in self._first.split(b","))[b"r"]
            salt = base64.b64encode(self._salt)
            self._server_first = b"r=%sGATE,s=%s,i=%d" % (nonce, salt, ITERATIONS)
            return self._server_first
        without_proof, _, proof = message.rpartition(b",p=")
        signed = b",".join([self._first, self._server_first, without_proof])
        client_key = self._hmac(self._salted, b"Client Key")
        signature = self._hmac(hashlib.sha512(client_key).digest(), signed)
        right = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        names_user = f"n={self._user},".encode() in self._first
        if not (names_user and hmac.compare_digest(base64.b64decode(proof), right)):
            return None
        self.is_complete = True
        server_key = self._hmac(self._salted, b"Server Key")
        return b"v=" + base64.b64encode(self._hmac(server_key, signed))

    @staticmethod
    def _hmac(key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, "sha512")


def _with_sasl(response: bytes) -> bytes:
    """Add the two SASL requests to an ApiVersions response of version 0."""
    (count,) = struct.unpack(">i", response[6:10])
    own = struct.pack(">hhhhhh", SASL_HANDSHAKE, 0, 1, SASL_AUTHENTICATE, 0, 1)
    rows = [response[10 + 6 * i : 16 + 6 * i] for i in range(count)]
    kept = [r for r in rows if struct.unpack(">h", r[:2])[0] not in (SASL_HANDSHAKE, 36)]
    return response[:6] + struct.pack(">i", len(kept) + 2) + b"".join(kept) + own


def _receive(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(struct.pack(">i", len(data)) + data)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
