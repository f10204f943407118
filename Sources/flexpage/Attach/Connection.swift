import Glibc

/// A socket at which the handshake is over: the next byte on it belongs to a request. Closed at the end of its life,
/// which the kernel does not notice, because it has a reference of its own.
final class Connection {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}
